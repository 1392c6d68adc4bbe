//! `maskscope classify`: does masking help a classifier? Arms of masking under the same seeds, beside naive Bayes.

use std::path::PathBuf;
use std::sync::Arc;

use indicatif::ProgressBar;
use serde::Serialize;

use super::error::CliError;
use super::flags::{FlagSet, ParameterFlags, one_of, whole};
use super::output::{JsonFlag, note};
use super::screen::runs_folder;
use super::train::Interrupts;
use super::{CommandContext, open};
use crate::attention::types::Reduction;
use crate::engine::classify::{
    ClassifyNews, LabelColumns, LabelledData, classifier_start, run as run_folder,
};
use crate::engine::loaded::LoadedModel;
use crate::engine::loader::Purpose;
use crate::eval::classify::{ClassifyFolder, ClassifyPlan, Summarised};
use crate::mask::types::{MaskSettings, Op, Protect, Scope};
use crate::support::progress::bar;
use crate::support::table::Table;
use crate::train::classify::{ClassifierSpec, Learner, Pool};
use crate::train::spec::{Arm, MaskingSpec};

/// Flags that mirror parameters.
#[derive(Clone, Copy, Debug)]
pub struct Flags;

impl FlagSet for Flags {
    const FLAGS: &'static [(&'static str, &'static str)] = &[
        ("model", "model.id"),
        ("revision", "model.revision"),
        ("device", "model.device"),
        ("offline", "hub.offline"),
        ("refresh", "hub.refresh"),
        ("op", "mask.op"),
        ("replacement", "mask.replacement"),
        ("seed", "mask.seed"),
        ("score", "score.reduction"),
        ("contribution", "score.contribution"),
        ("layers", "score.layers"),
        ("heads", "score.heads"),
    ];
}

/// The 2×2 of the article's claim, and no masks beside it.
const ARMS: [Arm; 5] = [Arm::None, Arm::Static1, Arm::StaticAttn, Arm::DynRand, Arm::DynAttnHigh];
/// Tokens of a text that are read unless told otherwise, where the model takes as many.
const CONTEXT: usize = 128;

/// Train classifiers under static and dynamic masks, by attention and at random, and judge the difference over seeds
#[derive(Clone, Debug, clap::Args)]
pub struct ClassifyArgs {
    /// CSV, TSV, JSON lines or Parquet file with a column of texts and one of labels
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Column of the texts; by default text, or the only other column of texts
    #[arg(long, value_name = "NAME")]
    pub column: Option<String>,
    /// Column of the labels
    #[arg(long, value_name = "NAME", default_value = "label")]
    pub label: String,
    /// Column that says train or test; without it, a fifth of every class is held out
    #[arg(long, value_name = "NAME")]
    pub split: Option<String>,
    /// Folder of the results; run again to go on after a stop, or with more seeds. Without it, one among your runs
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Arms of masking to compare; the contrasts of static and dynamic, attention and random need all five
    #[arg(long, value_name = "ARM", num_args = 1.., value_parser = one_of::<Arm>(), default_values_t = ARMS)]
    pub arms: Vec<Arm>,
    /// Paired seeds; each draws its texts, the head to start from, the order and the masks
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = whole::<usize>(1, 10_000))]
    pub seeds: usize,
    /// Passes over the texts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = whole::<usize>(1, 10_000))]
    pub passes: usize,
    /// Tokens that a seed learns from, drawn from all classes in proportion
    #[arg(long, value_name = "N", default_value_t = 150_000, value_parser = whole::<usize>(100, 1_000_000_000))]
    pub tokens: usize,
    /// Tokens that a seed is judged on; by default, a quarter of --tokens
    #[arg(long, value_name = "N", value_parser = whole::<usize>(100, 1_000_000_000))]
    pub test_tokens: Option<usize>,
    /// Mask rate: share of the eligible tokens that every masking arm masks
    #[arg(long, value_name = "NUMBER", default_value_t = 0.15)]
    pub rate: f64,
    /// What learns
    #[arg(long, value_name = "WHAT", default_value = "all", value_parser = one_of::<Learner>())]
    pub learner: Learner,
    /// What the head reads
    #[arg(long, value_name = "WHAT", default_value = "mean", value_parser = one_of::<Pool>())]
    pub pool: Pool,
    /// Tokens of a text that are read, at most
    #[arg(long, value_name = "N", value_parser = whole::<usize>(2, 1_000_000))]
    pub context: Option<usize>,
    /// Texts per step
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = whole::<usize>(1, 100_000))]
    pub batch_size: usize,
    /// The highest learning rate; by default 0.0005 for the whole model, 0.005 for the head alone
    #[arg(long, value_name = "NUMBER")]
    pub learning_rate: Option<f64>,
    /// Difference of accuracy or F1 below which arms are equivalent
    #[arg(long, value_name = "NUMBER", default_value_t = 0.01)]
    pub epsilon: f64,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}

#[derive(Serialize)]
struct ClassifyOutput<'a> {
    out: String,
    plan: &'a ClassifyPlan,
    summary: &'a Summarised,
}

/// Runs the command.
///
/// # Errors
/// Data or a model that cannot be read; a folder of another experiment; a stop by Ctrl-C, after which the folder can be continued.
pub fn run(args: &ClassifyArgs, context: &CommandContext) -> Result<(), CliError> {
    check(args)?;
    let spec = context.loaded.settings.model.spec();
    let loaded = Arc::new(open::open_for(context, &spec, Purpose::Train)?);
    let classifier = classifier(args, context, &loaded)?;
    let columns =
        LabelColumns { text: args.column.clone(), label: args.label.clone(), split: args.split.clone() };
    let data = LabelledData::read(&args.data, &columns, (&*loaded, classifier.context))?;
    data.notes.iter().for_each(|text| note(&format!("note: {text}")));
    let reads = args.arms.iter().any(|arm| arm.needs_scores());
    if reads && classifier.masking.score.reduction == Reduction::DistanceNull {
        open::calibrate(&loaded)?;
    }
    let plan = ClassifyPlan {
        model: loaded.id.clone(),
        weights: loaded.weights_hash()?,
        data: args.data.display().to_string(),
        texts: data.hash.clone(),
        classes: data.classes.clone(),
        arms: args.arms.clone(),
        first_seed: context.loaded.settings.mask.seed,
        seeds: args.seeds,
        tokens: args.tokens,
        test_tokens: args.test_tokens.unwrap_or(args.tokens / 4),
        epsilon: args.epsilon,
        classifier,
    };
    let out = args.out.clone().unwrap_or_else(|| named(&args.data));
    let mut folder = ClassifyFolder::open(&out, plan)?;
    let start = classifier_start(&loaded, &data)?;
    let signals = Interrupts::catch()?;
    let bar = bar(0, "{pos}/{len} steps {wide_bar} {eta} left  {msg}");
    let mut tell = |news: ClassifyNews| {
        show(&bar, &news);
        signals.ended_by().is_none()
    };
    let whole = run_folder(&mut folder, &data, &start, &mut tell)?;
    bar.finish_and_clear();
    let summary = folder.summary();
    let text = text(&folder.plan, &summary, data.sizes());
    let json = serde_json::to_string_pretty(&summary)
        .map_err(|e| CliError::failed(format!("the results cannot be written as JSON: {e}")))?;
    folder.write("summary.json", &format!("{json}\n"))?;
    folder.write("report.md", &format!("# maskscope classify\n\n```text\n{text}```\n"))?;
    if args.output.json {
        let out = out.display().to_string();
        context.out.json(&ClassifyOutput { out, plan: &folder.plan, summary: &summary })?;
    } else {
        context.out.text(&format!("{text}results: {}\n", out.display()))?;
    }
    if !whole {
        note(&format!("stopped; the same command goes on in {}", out.display()));
    }
    let signal = signals.ended_by().filter(|_| !whole);
    signal.map_or(Ok(()), |n| Err(CliError::signal(n.into())))
}

fn check(args: &ClassifyArgs) -> Result<(), CliError> {
    if !(args.rate > 0.0 && args.rate < 1.0) {
        return Err(CliError::usage(format!("--rate must be between 0 and 1, not {}", args.rate)));
    }
    if !(args.epsilon > 0.0 && args.epsilon < 1.0) {
        return Err(CliError::usage(format!("--epsilon must be between 0 and 1, not {}", args.epsilon)));
    }
    if args.learning_rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
        return Err(CliError::usage("--learning-rate must be a number above 0"));
    }
    let twice = (1..args.arms.len()).find(|&i| args.arms[..i].contains(&args.arms[i]));
    if let Some(i) = twice {
        return Err(CliError::usage(format!("{} stands twice in --arms", args.arms[i])));
    }
    if args.data.is_file() {
        return Ok(());
    }
    Err(CliError::failed(format!("cannot read {}: no such file", args.data.display()))
        .with_hint("pass a CSV, TSV, JSON lines or Parquet file to --data"))
}

/// `classify-NAME` among the runs.
fn named(data: &std::path::Path) -> PathBuf {
    let stem = data.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    runs_folder().join(format!("classify-{stem}"))
}

/// How every classifier is trained; all masking arms mask exactly the same number of tokens of a text.
fn classifier(
    args: &ClassifyArgs,
    context: &CommandContext,
    loaded: &LoadedModel,
) -> Result<ClassifierSpec, CliError> {
    let settings = &context.loaded.settings;
    let op = settings.mask.op;
    if op == Op::Evict {
        return Err(CliError::usage("--op evict is about a cache, which training has not")
            .with_hint("use replace, hide, drop, skip or keep"));
    }
    let probability = args.rate.max(0.5);
    let policy = MaskSettings {
        threshold: 1.0 - args.rate / probability,
        probability,
        exact_k: true,
        scope: Scope::Whole,
        mix: None,
        protect: Protect { last: 1, sinks: false, ..Protect::default() },
        ..settings.mask.clone()
    };
    let masking = MaskingSpec {
        op,
        replacement: settings.mask.replacement,
        rate: args.rate,
        policy: Some(policy),
        score: settings.score.clone(),
        ..MaskingSpec::default()
    };
    let usual = if args.learner == Learner::Head { 0.005 } else { 0.0005 };
    let most = loaded.model.config.n_positions;
    Ok(ClassifierSpec {
        pool: args.pool,
        learner: args.learner,
        passes: args.passes,
        batch_size: args.batch_size,
        context: args.context.unwrap_or(CONTEXT).min(most),
        learning_rate: args.learning_rate.unwrap_or(usual),
        masking,
    })
}

fn show(bar: &ProgressBar, news: &ClassifyNews) {
    match news {
        ClassifyNews::Begun { seed, arm, steps, left } => {
            bar.set_length(bar.position() + (*steps * *left) as u64);
            bar.set_message(format!("seed {seed}, {arm}"));
        }
        ClassifyNews::Step => bar.inc(1),
        ClassifyNews::Finished(row) => {
            let name = row.arm.map_or("naive Bayes", Arm::name);
            open::above(
                bar,
                &format!(
                    "seed {}, {name}: accuracy {:.4}, macro F1 {:.4}",
                    row.seed, row.accuracy, row.macro_f1
                ),
            );
        }
    }
}

fn text(plan: &ClassifyPlan, summary: &Summarised, (train, held): (usize, usize)) -> String {
    let spec = &plan.classifier;
    let learns = match spec.learner {
        Learner::Head => "the head alone learns, from states of masked texts",
        Learner::All => "the whole model learns with the head, end to end",
    };
    let mut out = format!(
        "{}: {} classes; each seed learns from up to {} tokens of {train} texts, and is judged on up to {} of {held}, unmasked\n",
        plan.model,
        plan.classes.len(),
        plan.tokens,
        plan.test_tokens
    );
    out.push_str(&format!(
        "{learns}; it reads the {} state; {} passes, {} at rate {:.2}, learning rate {}\n\n",
        spec.pool, spec.passes, spec.masking.op, spec.masking.rate, spec.learning_rate
    ));
    let mut table = Table::new(["arm", "accuracy", "macro F1", "masked"]).right([3]);
    for arm in &summary.arms {
        table.row([
            arm.name.clone(),
            arm.accuracy.to_string(),
            arm.macro_f1.to_string(),
            format!("{:.3}", arm.rate),
        ]);
    }
    out.push_str(&table.to_string());
    let seeds = if summary.seeds == 1 { "1 seed".to_owned() } else { format!("{} seeds", summary.seeds) };
    out.push_str(&format!("means over {seeds}, 95 % intervals by Student's t\n"));
    if summary.contrasts.is_empty() {
        return out;
    }
    let mut table = Table::new(["contrast", "measure", "difference", "with texts drawn, too", "verdict"]);
    for c in &summary.contrasts {
        table.row([
            c.name.to_owned(),
            c.measure.to_owned(),
            format!("{:+}", c.difference),
            c.bootstrap.map_or_else(|| "–".to_owned(), |b| format!("{b:+}")),
            c.said.clone(),
        ]);
    }
    out.push_str(&format!("\n{table}{}\n", summary.procedure));
    out
}
