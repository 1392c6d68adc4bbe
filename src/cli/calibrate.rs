//! `maskscope calibrate`: the distance null of a model, written to a file.

use std::path::PathBuf;

use anyhow::Context as _;

use super::flags::{FlagSet, ParameterFlags};
use super::output::{JsonFlag, check_out, write_out};
use super::{CommandContext, open, source};
use crate::engine::calibrate::Calibrator;
use crate::engine::loaded::CALIBRATION_TEXT;

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

/// Measure the average attention at each token distance in a model, and write the table to a file
#[derive(Clone, Debug, clap::Args)]
pub struct CalibrateArgs {
    /// Text to calibrate on instead of the built-in one
    #[arg(long, value_name = "FILE")]
    pub text_file: Option<PathBuf>,
    /// File to write (safetensors)
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}

/// Runs the command.
///
/// # Errors
/// A model that is not available, a text too short, a file that cannot be written.
pub fn run(args: &CalibrateArgs, context: &CommandContext) -> anyhow::Result<()> {
    check_out(&args.out)?;
    let text = match &args.text_file {
        Some(path) => source::read_file(path)?,
        None => CALIBRATION_TEXT.to_owned(),
    };
    const FAILED: &str = "calibration failed";
    let mut calibrator = Calibrator::new(open::open(context)?, &text).context(FAILED)?;
    while !calibrator.step(None).context(FAILED)? {}
    let windows = calibrator.progress().1;
    let calibration = calibrator.finish().context(FAILED)?;
    let bytes = calibration.to_bytes().context(FAILED)?;
    let out = args.out.display();
    write_out(&args.out, |path| std::fs::write(path, &bytes))?;
    if args.output.json {
        return Ok(context.out.json(&serde_json::json!({
            "out": out.to_string(),
            "windows": windows,
            "tokens_per_window": calibration.window,
            "weights_sha256": calibration.source.weights,
            "text_sha256": calibration.source.text,
        }))?);
    }
    Ok(context
        .out
        .text(&format!("{windows} windows of {} tokens, written to {out}\n", calibration.window))?)
}
