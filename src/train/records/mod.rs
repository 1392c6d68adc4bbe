//! What a run leaves to read: `metrics.jsonl` (every report as one line) and a TensorBoard event file. Written on the
//! trainer's thread; a record that cannot be written is reported once and never ends a run.

mod tensorboard;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use candle_core::Device;
use sysinfo::{MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, System};

use super::report::Report;
use crate::support::files::Aside;
use crate::tensor::meter::{GpuFigures, Meter};
use tensorboard::EventFile;

/// Name of the metrics in a run folder.
pub const METRICS: &str = "metrics.jsonl";

/// What stays of earlier records of the same run: the rest is done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptRecords {
    Nothing,
    /// What belongs to these steps: those of the checkpoint that the run continues from.
    Steps(usize),
    /// What belongs to the first seeds of twins.
    Seeds(usize),
}

/// The records of one run.
pub struct Records {
    metrics: BufWriter<File>,
    events: EventFile,
    flushed: Instant,
}

/// Records reach the disk at least this often.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

impl Records {
    /// Opens the records of `run`; a resumed run adds to what is `kept`.
    pub fn open(run: &Path, kept: KeptRecords) -> io::Result<Self> {
        fs::create_dir_all(run)?;
        let path = run.join(METRICS);
        let resumed = kept != KeptRecords::Nothing;
        if resumed && path.is_file() {
            drop_the_rest(&path, kept)?;
        }
        let metrics =
            OpenOptions::new().create(true).append(resumed).write(true).truncate(!resumed).open(&path)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let from = if let KeptRecords::Steps(step) = kept { Some(step as i64) } else { None };
        let events = EventFile::create(run, now.as_secs_f64(), from)?;
        Ok(Records { metrics: BufWriter::new(metrics), events, flushed: Instant::now() })
    }

    /// Writes one report.
    pub fn put(&mut self, report: &Report) -> io::Result<()> {
        // A raster and a batch are pictures of the moment, larger than all the rest together.
        if matches!(report, Report::Raster { .. } | Report::Batch(_) | Report::Evaluating { .. }) {
            return Ok(());
        }
        serde_json::to_writer(&mut self.metrics, report)?;
        self.metrics.write_all(b"\n")?;
        self.events.put(report)?;
        let rare = !matches!(report, Report::Step { .. } | Report::TwinStep(_));
        if rare || self.flushed.elapsed() >= FLUSH_EVERY {
            self.flushed = Instant::now();
            self.metrics.flush()?;
            self.events.flush()?;
        }
        Ok(())
    }
}

/// The step a line of the metrics belongs to, where it has one.
pub fn step_of(line: &serde_json::Value) -> Option<usize> {
    line.get("step").and_then(serde_json::Value::as_u64).map(|s| s as usize)
}

/// Drops lines that are not kept, of an end that was not one, and a last line that a crash cut off.
fn drop_the_rest(path: &Path, kept: KeptRecords) -> io::Result<()> {
    let aside = Aside::of(path)?;
    let mut out = BufWriter::new(File::create(aside.path())?);
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        let line = line?;
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(&line) else { continue };
        let over = value.get("event").is_some_and(|e| e == "ended" || e == "failed");
        let seed = value.get("seed").and_then(serde_json::Value::as_u64);
        let stays = match kept {
            KeptRecords::Nothing => false,
            KeptRecords::Steps(step) => step_of(&value).is_none_or(|at| at <= step),
            KeptRecords::Seeds(seeds) => seed.is_none_or(|at| at <= seeds as u64),
        };
        if !over && stays {
            out.write_all(&line)?;
            out.write_all(b"\n")?;
        }
    }
    out.flush()?;
    aside.put()
}

/// What this process takes of the machine: memory, cores, the GPU.
pub struct MachineGauge {
    system: System,
    asked: Option<Instant>,
    resident: u64,
    cores: Option<f64>,
    meter: Option<Meter>,
    gpu: Option<(Instant, Option<GpuFigures>)>,
}

impl Default for MachineGauge {
    fn default() -> Self {
        MachineGauge { system: System::new(), asked: None, resident: 0, cores: None, meter: None, gpu: None }
    }
}

impl MachineGauge {
    /// Resident bytes of this process, measured at most once a second.
    pub fn resident(&mut self) -> u64 {
        self.look();
        self.resident
    }

    /// Cores that this process kept busy between the last two looks; `None` before there were two.
    pub fn cores(&mut self) -> Option<f64> {
        self.look();
        self.cores
    }

    /// Asks the system, at most once a second.
    fn look(&mut self) {
        if self.asked.is_some_and(|at| at.elapsed() < Duration::from_secs(1)) {
            return;
        }
        let again = self.asked.replace(Instant::now()).is_some();
        let Ok(pid) = sysinfo::get_current_pid() else { return };
        let what = ProcessRefreshKind::nothing().with_memory().with_cpu();
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, what);
        let Some(process) = self.system.process(pid) else { return };
        self.resident = process.memory();
        // The share is that of the time since the look before, so the first one has none.
        self.cores = again.then(|| f64::from(process.cpu_usage()) / 100.0);
    }

    /// What the GPU is doing, asked at most once a second; `None` on the CPU and where it cannot be asked.
    pub fn gpu(&mut self, device: &Device) -> Option<GpuFigures> {
        if device.is_cpu() {
            return None;
        }
        if self.gpu.is_none_or(|(at, _)| at.elapsed() >= Duration::from_secs(1)) {
            if self.gpu.is_none() {
                // A library that is missing is named by `doctor`; a run continues without the figures.
                self.meter = Meter::open().ok();
            }
            self.gpu = Some((Instant::now(), self.meter.as_ref().and_then(Meter::figures)));
        }
        self.gpu.and_then(|(_, figures)| figures)
    }

    /// Largest resident size of this process so far, bytes; only Linux tells.
    pub fn peak() -> Option<u64> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib * 1024)
    }

    /// Bytes that the machine can still give.
    pub fn available() -> u64 {
        let mut system = System::new();
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        system.available_memory()
    }
}
