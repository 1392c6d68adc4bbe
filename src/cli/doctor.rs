//! `maskscope doctor`: what this machine offers and whether the program can use it.

use std::io::IsTerminal;

use serde::Serialize;

use super::error::CliError;
use super::output::JsonFlag;
use super::{CommandContext, convert};
use crate::engine::calibrate;
use crate::hub::cached_models;
use crate::support::table::Table;
use crate::support::units::bytes;
use crate::tensor::device::{DeviceChoice, KERNELS, choose, describe, plain, proved};
use crate::tensor::meter::Meter;

/// Check terminal, device, cache and settings, and say what is wrong
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub output: JsonFlag,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    /// `ok`, `note` or `problem`.
    state: &'static str,
    finding: String,
}

impl Check {
    fn new(name: &'static str, state: &'static str, finding: impl Into<String>) -> Self {
        Check { name, state, finding: finding.into() }
    }
}

/// Runs the command; it only looks and never changes anything.
///
/// # Errors
/// Output that cannot be written.
pub fn run(args: &DoctorArgs, context: &CommandContext) -> Result<(), CliError> {
    let checks: Vec<Check> = [
        Some(program()),
        Some(processor()),
        Some(memory()),
        Some(device()),
        gpu(),
        kernels(),
        meter(),
        Some(terminal(context)),
        Some(settings(context)),
        Some(cache(context)),
        Some(calibrations()),
    ]
    .into_iter()
    .flatten()
    .collect();
    if args.output.json {
        return context.out.json(&serde_json::json!({ "checks": checks }));
    }
    let mut table = Table::default();
    checks.iter().for_each(|c| table.row([c.state, c.name, &c.finding]));
    context.out.text(&table.to_string())
}

fn program() -> Check {
    let cuda = if cfg!(feature = "cuda") { "with" } else { "without" };
    Check::new("program", "ok", format!("maskscope {}, built {cuda} CUDA", env!("CARGO_PKG_VERSION")))
}

fn processor() -> Check {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    #[cfg(target_arch = "x86_64")]
    let features = match (is_x86_feature_detected!("avx512f"), is_x86_feature_detected!("avx2")) {
        (true, _) => "AVX-512",
        (_, true) => "AVX2",
        _ => "neither AVX2 nor AVX-512: slow",
    };
    #[cfg(not(target_arch = "x86_64"))]
    let features = std::env::consts::ARCH;
    Check::new("processor", "ok", format!("{threads} threads, {features}"))
}

fn memory() -> Check {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let free = system.available_memory();
    let state = if free < 1_000_000_000 { "note" } else { "ok" };
    Check::new("memory", state, format!("{} free of {}", bytes(free), bytes(system.total_memory())))
}

fn device() -> Check {
    match choose(DeviceChoice::Auto) {
        Ok(chosen) => match chosen.tried {
            None => Check::new("device", "ok", chosen.name),
            Some(tried) => {
                Check::new("device", "note", format!("{}; CUDA is not available: {tried}", chosen.name))
            }
        },
        Err(error) => Check::new("device", "problem", error.to_string()),
    }
}

/// The GPU in use.
fn gpu() -> Option<Check> {
    let gpu = describe(&choose(DeviceChoice::Auto).ok()?.device)?;
    let (major, minor) = gpu.capability;
    let memory =
        gpu.memory.map_or_else(String::new, |m| format!(", {} free of {}", bytes(m.free), bytes(m.total)));
    let driver = format!("its driver supports CUDA {}.{}", gpu.driver / 1000, gpu.driver % 1000 / 10);
    let finding = format!("{}, compute capability {major}.{minor}{memory}; {driver}", gpu.name);
    Some(Check::new("gpu", "ok", finding))
}

/// Which operators a GPU would run.
fn kernels() -> Option<Check> {
    let forced =
        plain().then(|| Check::new("kernels", "note", format!("composed, because {KERNELS} is set")));
    // Opening the device tries them.
    let _ = choose(DeviceChoice::Auto);
    let own = || match proved() {
        Some(Ok(())) => {
            Check::new("kernels", "ok", "built in, checked against composed operators on this GPU")
        }
        Some(Err(reason)) => {
            Check::new("kernels", "note", format!("composed, because the built-in ones failed: {reason}"))
        }
        None => Check::new("kernels", "note", "built in for GPUs, not tried without one"),
    };
    forced.or_else(|| cfg!(feature = "cuda").then(own))
}

/// The driver's management library, behind the GPU's figures on the Train screen.
fn meter() -> Option<Check> {
    cfg!(feature = "cuda").then(|| match Meter::open() {
        Ok(meter) => {
            let version = meter.driver().unwrap_or_else(|| "of unknown version".to_owned());
            let now = meter.figures().map_or_else(String::new, |f| {
                format!("; {} % busy, {} °C, {:.0} W", f.busy, f.temperature, f.watts)
            });
            Check::new("nvml", "ok", format!("driver {version}{now}"))
        }
        Err(e) => Check::new("nvml", "note", format!("the Train screen shows no GPU figures: {e}")),
    })
}

fn terminal(context: &CommandContext) -> Check {
    if !std::io::stdout().is_terminal() {
        return Check::new(
            "terminal",
            "note",
            "stdout is not a terminal: commands work, the screen does not",
        );
    }
    let term = context.env.text("TERM").unwrap_or("unknown");
    let colors = context.env.text("COLORTERM").map_or_else(String::new, |c| format!(", {c}"));
    match crossterm::terminal::size() {
        Ok((w, h)) if w < 80 || h < 24 => {
            Check::new("terminal", "note", format!("{term}{colors}, {w}×{h}: 80×24 shows more"))
        }
        Ok((w, h)) => Check::new("terminal", "ok", format!("{term}{colors}, {w}×{h}")),
        Err(error) => Check::new("terminal", "problem", format!("{term}, size unknown: {error}")),
    }
}

fn settings(context: &CommandContext) -> Check {
    match crate::config::user_file(&context.env, None) {
        Some(path) if path.is_file() => Check::new("settings", "ok", path.display().to_string()),
        Some(path) => Check::new("settings", "ok", format!("built-in; none at {}", path.display())),
        None => Check::new("settings", "note", "built-in; no home folder to look in"),
    }
}

fn cache(context: &CommandContext) -> Check {
    match cached_models(&convert::hub_options(context)) {
        Ok(models) => {
            let all = models.iter().map(|m| m.size_bytes).sum();
            Check::new("models", "ok", format!("{} cached, {}", models.len(), bytes(all)))
        }
        Err(error) => Check::new("models", "problem", error.to_string()),
    }
}

fn calibrations() -> Check {
    match calibrate::cache_folder() {
        Some(folder) => {
            let count = std::fs::read_dir(&folder).map_or(0, Iterator::count);
            Check::new("calibration", "ok", format!("{count} cached in {}", folder.display()))
        }
        None => Check::new("calibration", "note", "no cache folder: each model is calibrated at every start"),
    }
}
