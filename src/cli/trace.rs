//! `maskscope trace`: one plain forward pass, every intermediate value written to a safetensors file.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;

use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde::Serialize;

use super::flags::{FlagSet, ParameterFlags};
use super::output::{JsonFlag, check_out, write_out};
use super::source::SourceArgs;
use super::{CommandContext, open};
use crate::engine::explorer::Reach;
use crate::tensor::host;

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
    ];
}

/// Write logits, attentions, hidden states and loss of one pass to a file
#[derive(Clone, Debug, clap::Args)]
pub struct TraceArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// File to write (safetensors)
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}

#[derive(Serialize)]
struct TraceOutput<'a> {
    model: &'a str,
    out: String,
    tokens: usize,
    loss: Option<f32>,
    tensors: BTreeMap<&'static str, Vec<usize>>,
}

/// Runs the command.
///
/// # Errors
/// A model or text that cannot be run, a file that cannot be written.
pub fn run(args: &TraceArgs, context: &CommandContext) -> anyhow::Result<()> {
    check_out(&args.out)?;
    let mut explorer = open::explorer(open::open(context)?, &args.source, Reach::Context)?;
    let baseline = explorer.baseline(None)?;
    let trace = &baseline.trace;
    let (t, c) = (trace.len(), &trace.config);
    let logits = explorer.loaded.model.logits(&trace.hidden, 0, t)?;
    let mut attentions = vec![0f32; c.n_layer * c.n_head * t * t];
    for (i, map) in attentions.chunks_exact_mut(t * t).enumerate() {
        trace.map_into(i / c.n_head, i % c.n_head, map)?;
    }
    let states = trace.hidden_states().and_then(|s| host::values(&s))?;
    let loss = baseline.prediction(None, 0).loss;
    let ids: Vec<i64> = explorer.ids.iter().map(|&id| i64::from(id)).collect();
    let loss_value = [loss.unwrap_or(f32::NAN)];
    let parts: Vec<(&'static str, Dtype, Vec<usize>, &[u8])> = vec![
        ("input_ids", Dtype::I64, vec![t], bytemuck::cast_slice(&ids)),
        ("logits", Dtype::F32, vec![t, c.vocab_size], bytemuck::cast_slice(&logits)),
        ("attentions", Dtype::F32, vec![c.n_layer, c.n_head, t, t], bytemuck::cast_slice(&attentions)),
        ("hidden_states", Dtype::F32, vec![c.n_layer + 1, t, c.n_embd], bytemuck::cast_slice(&states)),
        ("loss", Dtype::F32, vec![], bytemuck::cast_slice(&loss_value)),
    ];
    let shapes = parts.iter().map(|(name, _, shape, _)| (*name, shape.clone())).collect();
    let views = parts
        .into_iter()
        .map(|(name, dtype, shape, bytes)| TensorView::new(dtype, shape, bytes).map(|v| (name, v)))
        .collect::<Result<Vec<_>, _>>()?;
    let model = explorer.loaded.id.as_str();
    let metadata = HashMap::from([("model".to_owned(), model.to_owned())]);
    write_out(&args.out, |path| serialize_to_file(views, Some(metadata), path).map_err(io::Error::other))?;
    let summary =
        TraceOutput { model, out: args.out.display().to_string(), tokens: t, loss, tensors: shapes };
    if args.output.json {
        return Ok(context.out.json(&summary)?);
    }
    let loss =
        loss.map_or_else(|| "undefined for one token".to_owned(), |l| format!("{l:.4} nats per token"));
    Ok(context.out.text(&format!("{t} tokens, loss {loss}, written to {}\n", summary.out))?)
}
