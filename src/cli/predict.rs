//! `maskscope predict`: surprisal of every token and the most probable next ones.

use serde::Serialize;

use super::error::CliError;
use super::flags::{FlagSet, ParameterFlags};
use super::output::JsonFlag;
use super::source::SourceArgs;
use super::tokens::{Next, TokenText, next_tokens};
use super::{CommandContext, open};
use crate::engine::explorer::Reach;
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
    context.out.text(&format!("{text}\nnext token\n{next}"))
}
