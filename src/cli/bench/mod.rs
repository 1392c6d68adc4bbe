//! `maskscope bench`: how long the things a person waits for take on this machine, as JSON for scripts, as lines for
//! people and as a plot. Runs on the main thread and on the pool that the explorer uses. Must never report a figure that
//! was not measured in this run, and says beside each rate what the processor could compute at most.

mod arithmetic;
mod check;
mod explore;
mod follow;
mod measure;
mod plot;
mod products;
mod recorded;
mod report;
mod shape;
mod train;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

use super::flags::{FlagSet, ParameterFlags, one_of};
use super::output::JsonFlag;
use super::{CommandContext, convert, open};
use crate::engine::loaded::LoadedModel;
use crate::engine::loader::Purpose;
use crate::model::WeightType;
use crate::tensor::memory;
use measure::CaseMeter;
pub use report::{BenchOutput, Case, MachineOutput, ModelReport};

/// Flags that mirror parameters.
#[derive(Clone, Copy, Debug)]
pub struct Flags;

impl FlagSet for Flags {
    const FLAGS: &'static [(&'static str, &'static str)] = &[
        ("model", "model.id"),
        ("revision", "model.revision"),
        ("device", "model.device"),
        ("precision", "train.precision"),
        ("offline", "hub.offline"),
        ("refresh", "hub.refresh"),
        ("threads", "compute.threads_explorer"),
        ("weights", "compute.weights"),
    ];
}

/// Measure how fast this machine explores and trains
#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    /// Random weights of these shapes, made in memory, instead of a model [default: the model of the settings, and gpt2]
    #[arg(long, value_name = "SHAPE,…", value_delimiter = ',', conflicts_with = "model.id",
          value_parser = one_of::<shape::BenchShape>())]
    pub shape: Vec<shape::BenchShape>,
    /// Text lengths of the full forward, in tokens
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', default_value = "64,256,1024",
          value_parser = clap::value_parser!(u32).range(2..))]
    pub lengths: Vec<u32>,
    /// Measurements per case at least; the best and the spread are reported
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Only cases whose name starts with one of these, e.g. forward,append
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Exit with 1 where a stronger set of kernels is slower than a weaker one here, or where a case reaches less than half of its
    /// recorded share of the processor's peak
    #[arg(long, conflicts_with_all = ["shape", "model.id", "only", "follow"])]
    pub check: bool,
    /// Draw cost against length and model size into this file (SVG)
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Measure nothing else: train a copy on the batches of this file (safetensors, ids [steps, batch, length + 1]) and print
    /// losses, norms and times as JSON
    #[arg(long, value_name = "FILE")]
    pub follow: Option<PathBuf>,
    /// Write the gradients of the first followed step into this file (safetensors)
    #[arg(long, value_name = "FILE", requires = "follow")]
    pub gradients: Option<PathBuf>,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}

/// Runs the command.
///
/// # Errors
/// A model that cannot be loaded or run, a plot that cannot be written.
pub fn run(args: &BenchArgs, context: &CommandContext) -> anyhow::Result<()> {
    let settings = &context.loaded.settings;
    if let Some(threads) = settings.compute.threads_explorer {
        // Fails only when a pool exists already, which then stays.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    }
    if let Some(batches) = &args.follow {
        let precision = settings.train.precision;
        let subject = subjects(args, context).swap_remove(0);
        let files = (batches.as_path(), args.gradients.as_deref());
        return Ok(context.out.json(&follow::follow(
            subject.open(Purpose::Train)?.model,
            files,
            precision,
        )?)?);
    }
    let report = measure(args, context)?;
    if let Some(path) = &args.plot {
        std::fs::write(path, plot::svg(&report))
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    match args.output.json {
        true => context.out.json(&report)?,
        false => context.out.text(&report.text())?,
    }
    if args.check {
        let said = check::run(&report)?;
        if !args.output.json {
            context.out.text(&said)?;
        }
    }
    Ok(())
}

/// Measures everything that is asked for.
fn measure(args: &BenchArgs, context: &CommandContext) -> anyhow::Result<BenchOutput> {
    let only = if args.check { check::CASES.map(str::to_owned).to_vec() } else { args.only.clone() };
    let meter = CaseMeter::new(args.rounds as usize, only);
    let machine = MachineOutput::now();
    let products = products::measure(&meter)?;
    let weights = context.loaded.settings.compute.weights;
    let mut models = Vec::new();
    for subject in subjects(args, context) {
        models.push(measure_model(&subject, weights, args, &meter)?);
    }
    Ok(BenchOutput::new(machine, products, models))
}

/// A model to measure; made only when its turn comes, since several large ones would not fit side by side.
enum Subject<'a> {
    /// The one that the settings name.
    Named(&'a CommandContext),
    /// Random weights.
    Shape(shape::BenchShape, &'a CommandContext),
}

impl Subject<'_> {
    fn open(&self, purpose: Purpose) -> anyhow::Result<LoadedModel> {
        match self {
            Subject::Named(context) => {
                Ok(open::open_for(context, &context.loaded.settings.model.spec(), purpose)?)
            }
            Subject::Shape(shape, context) => {
                let settings = &context.loaded.settings;
                let device = convert::device(settings)?;
                let model = shape::model(*shape, settings.train.seed, &device.device)?;
                let loaded = LoadedModel::of_model(shape.name().to_owned(), model, device.name);
                Ok(loaded.made_for(purpose)?)
            }
        }
    }
}

/// What to measure, at least one: the shapes that were asked for, the model that was asked for; where neither was, the model of
/// the settings with GPT-2 small's shape beside it.
fn subjects<'a>(args: &BenchArgs, context: &'a CommandContext) -> Vec<Subject<'a>> {
    use shape::BenchShape::{Bundled, Small};
    let shapes = |shapes: &[shape::BenchShape]| shapes.iter().map(|&s| Subject::Shape(s, context)).collect();
    if args.check {
        return shapes(&[Bundled, Small]);
    }
    if !args.shape.is_empty() {
        return shapes(&args.shape);
    }
    let asked_for = args.parameters.values().iter().any(|flag| flag.key == "model.id");
    match asked_for {
        true => vec![Subject::Named(context)],
        false => vec![Subject::Named(context), Subject::Shape(Small, context)],
    }
}

fn measure_model(
    subject: &Subject,
    weights: WeightType,
    args: &BenchArgs,
    meter: &CaseMeter,
) -> anyhow::Result<ModelReport> {
    let lengths: Vec<usize> = args.lengths.iter().map(|&n| n as usize).collect();
    let mut cases = Vec::new();
    if matches!(subject, Subject::Named(_)) && meter.wants("load") {
        cases.push(meter.case("load", 0, || subject.open(Purpose::Explore(weights)).map(drop))?);
    }
    memory::give_back();
    train::measure(&|| Ok(subject.open(Purpose::Train)?.model), meter, &mut cases)?;
    memory::give_back();
    let loaded = Arc::new(subject.open(Purpose::Explore(weights))?);
    memory::give_back();
    explore::measure((&loaded, weights), &lengths, meter, &mut cases)?;
    if !loaded.model.device.is_cpu() {
        cases.iter_mut().for_each(|case| "cuda".clone_into(&mut case.kernels));
    }
    let config = &loaded.model.config;
    Ok(ModelReport {
        id: loaded.id.clone(),
        parameters: config.parameters(),
        layers: config.n_layer,
        heads: config.n_head,
        width: config.n_embd,
        context: config.n_positions,
        vocabulary: config.vocab_size,
        cases,
    })
}
