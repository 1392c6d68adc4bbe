//! `maskscope predict`: surprisal of every token and the most probable next ones.

use std::sync::Arc;

use serde::Serialize;

use super::error::CliError;
use super::flags::{FlagSet, ParameterFlags};
use super::output::JsonFlag;
use super::source::SourceArgs;
use super::tokens::{Next, TokenText, next_tokens};
use super::{CommandContext, open};
use crate::engine::explorer::Reach;
use crate::engine::loaded::LoadedModel;
use crate::model::forward::Reuse;
use crate::model::logits::top as most;
use crate::model::{Input, Model, ModelError, Trace, WeightType};
use crate::support::table::Table;

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
        ("top", "explore.top"),
    ];
}

/// Print the surprisal of every token (nats) and the most probable next tokens
#[derive(Clone, Debug, clap::Args)]
pub struct PredictArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// Run once more with matrices rounded to bf16 and print where the top prediction changes
    #[arg(long)]
    pub compare_precision: bool,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}

#[derive(Serialize)]
struct PredictOutput<'a> {
    model: &'a str,
    ids: &'a [u32],
    tokens: Vec<TokenText>,
    /// Nats; null for the first token.
    surprisal: Vec<Option<f32>>,
    /// Mean surprisal, nats per token; null for a text of one token.
    loss: Option<f32>,
    next: Vec<Next>,
    /// Where bf16 changes the most probable next token; left out where nobody asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    flips: Option<Vec<Flip>>,
}

/// A position after which bf16 finds another most probable token.
#[derive(Serialize)]
struct Flip {
    position: usize,
    f32: Expected,
    bf16: Expected,
}

#[derive(Serialize)]
struct Expected {
    id: u32,
    token: TokenText,
    #[serde(skip)]
    display: String,
}

/// Where the model with matrices rounded to bf16 expects another token than `trace`, which was computed in f32.
fn flips(loaded: &LoadedModel, ids: &[u32], trace: &Trace) -> Result<Vec<Flip>, CliError> {
    if !loaded.model.device.is_cpu() {
        return Err(CliError::failed("formats are compared on the CPU").with_hint("use --device cpu"));
    }
    let rounded = loaded.model.clone().with_weights(WeightType::Bf16).map_err(ModelError::from)?;
    let input = Arc::new(Input::plain(ids.to_vec()));
    let other = rounded.run(input, Reuse { traces: &[], cancel: None })?;
    let (exact, other) = (most_probable(&loaded.model, trace)?, most_probable(&rounded, &other)?);
    let token = |id: u32| Expected {
        id,
        token: TokenText::new(&loaded.bytes(id)),
        display: loaded.tokenizer.as_ref().map_or_else(|| format!("#{id}"), |t| t.display(id)),
    };
    let pairs = exact.into_iter().zip(other).enumerate().filter(|(_, (a, b))| a != b);
    Ok(pairs.map(|(position, (a, b))| Flip { position, f32: token(a), bf16: token(b) }).collect())
}

/// The most probable next token after every row.
fn most_probable(model: &Model, trace: &Trace) -> Result<Vec<u32>, ModelError> {
    /// Rows whose logits are held at the same time.
    const TILE: usize = 128;
    let mut all = Vec::with_capacity(trace.len());
    for from in (0..trace.len()).step_by(TILE) {
        let logits = model.logits(&trace.hidden, from, TILE.min(trace.len() - from))?;
        all.extend(logits.chunks(model.config.vocab_size).filter_map(|row| Some(most(row, 1).first()?.0)));
    }
    Ok(all)
}

/// Runs the command.
///
/// # Errors
/// A model or text that cannot be run.
pub fn run(args: &PredictArgs, context: &CommandContext) -> Result<(), CliError> {
    let top = context.loaded.settings.explore.top;
    let mut explorer = open::explorer(open::open(context)?, &args.source, Reach::Context)?;
    let baseline = explorer.baseline(None)?;
    let prediction = baseline.prediction(explorer.loaded.tokenizer.as_ref(), top);
    let report = PredictOutput {
        model: &explorer.loaded.id,
        ids: &explorer.ids,
        tokens: explorer.tokens.iter().map(|t| TokenText::new(&t.bytes)).collect(),
        next: next_tokens(&prediction.next, &explorer.loaded),
        surprisal: prediction.surprisal,
        loss: prediction.loss,
        flips: args
            .compare_precision
            .then(|| flips(&explorer.loaded, &explorer.ids, &baseline.trace))
            .transpose()?,
    };
    if args.output.json {
        return context.out.json(&report);
    }
    let mut tokens = Table::default().right([0]);
    for (token, surprisal) in explorer.tokens.iter().zip(&report.surprisal) {
        tokens.row([surprisal.map_or("–".to_owned(), |s| format!("{s:.2}")), token.display.clone()]);
    }
    let mut text = tokens.to_string();
    if let Some(loss) = report.loss {
        text.push_str(&format!("\nloss {loss:.4} nats per token, perplexity {:.1}\n", loss.exp()));
    }
    let mut next = Table::default().right([0]);
    prediction.next.iter().for_each(|c| next.row([format!("{:.2} %", 100.0 * c.p), c.display.clone()]));
    text.push_str(&format!("\nnext token\n{next}"));
    if let Some(flips) = &report.flips {
        text.push_str(&flips_text(flips, report.ids.len()));
    }
    context.out.text(&text)
}

/// One line a flip, and how many of all positions they are.
fn flips_text(flips: &[Flip], positions: usize) -> String {
    let mut table = Table::new(["position", "f32", "bf16"]).right([0]);
    for flip in flips {
        table.row([flip.position.to_string(), flip.f32.display.clone(), flip.bf16.display.clone()]);
    }
    let lines = if flips.is_empty() { String::new() } else { table.to_string() };
    format!(
        "\nbf16 changes the most probable next token after {} of {positions} positions\n{lines}",
        flips.len()
    )
}
