//! What a bench run says: a stable JSON form and lines for people.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::support::table::Table;
use crate::tensor::kernels::isa::{isa, multiplies_pairs};
use crate::tensor::kernels::peak::{self, Operands};

/// Changes when a field changes its meaning or goes away; new fields and new cases may come at any time.
const SCHEMA: u32 = 1;

/// Everything one run measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BenchOutput {
    pub schema: u32,
    pub version: String,
    pub machine: MachineOutput,
    /// Single matrix products.
    pub products: Vec<Case>,
    pub models: Vec<ModelReport>,
}

/// Where it ran.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MachineOutput {
    /// Threads of the pool that was measured.
    pub threads: usize,
    pub cores: usize,
    pub processor: String,
    /// The instructions of the kernels in use, as `MASKSCOPE_KERNELS` names them.
    pub kernels: String,
    /// What a loop of nothing but f32 multiply-adds reached on one core and on all threads of the pool, GFLOP/s; the most that was
    /// seen during the run.
    pub peak_one_core: f64,
    pub peak_all: f64,
    /// The same for pairs of bf16 numbers, where the kernels multiply those.
    pub peak_bf16_all: Option<f64>,
}

/// One model's cases.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelReport {
    pub id: String,
    pub parameters: usize,
    pub layers: usize,
    pub heads: usize,
    pub width: usize,
    pub context: usize,
    pub vocabulary: usize,
    pub cases: Vec<Case>,
}

/// One thing that was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Case {
    pub name: String,
    /// Length of the text in tokens, rows of a product; 0 where there is none.
    pub tokens: usize,
    pub threads: usize,
    /// What ran: the instructions of the kernels on a processor (as in [`MachineOutput::kernels`]), `cuda` on a GPU.
    pub kernels: String,
    /// The numbers that were multiplied: `f32`, `bf16` (widened to f32), `bf16 pairs` (multiplied as they are).
    pub numbers: String,
    pub rounds: usize,
    /// Wall time per round.
    pub best_ms: f64,
    pub median_ms: f64,
    pub worst_ms: f64,
    /// Processor time of the cheapest round, all threads together.
    pub cpu_ms: f64,
    /// Largest resident size of the process while this case ran; null where the system does not say.
    pub peak_bytes: Option<u64>,
    /// Tokens trained on per second, for training steps.
    pub tokens_per_second: Option<f64>,
    /// Share of the full pass's rows that was computed, for passes that reuse rows or leave some out.
    pub computed_share: Option<f64>,
    /// Arithmetic of the best round, GFLOP/s, where it is known; what a kernel computes twice counts once.
    pub gflops: Option<f64>,
    /// What the processor computed at most right before or after this case, on as many threads, GFLOP/s.
    pub peak_gflops: Option<f64>,
    /// The one over the other.
    pub share_of_peak: Option<f64>,
}

impl Case {
    /// `wall` and `cpu` in milliseconds, one per round; at least one round.
    pub fn new(name: &str, tokens: usize, mut wall: Vec<f64>, cpu: &[f64], peak_bytes: Option<u64>) -> Self {
        wall.sort_unstable_by(f64::total_cmp);
        let at = |i: usize| wall.get(i).copied().unwrap_or(f64::NAN);
        Case {
            name: name.to_owned(),
            tokens,
            threads: rayon::current_num_threads(),
            kernels: isa().name().to_owned(),
            numbers: "f32".to_owned(),
            rounds: wall.len(),
            best_ms: at(0),
            median_ms: at(wall.len() / 2),
            worst_ms: at(wall.len().saturating_sub(1)),
            cpu_ms: cpu.iter().copied().fold(f64::INFINITY, f64::min),
            peak_bytes,
            tokens_per_second: None,
            computed_share: None,
            gflops: None,
            peak_gflops: None,
            share_of_peak: None,
        }
    }

    /// The case with its arithmetic, beside the peak in GFLOP/s where one is known.
    #[must_use]
    pub fn with_arithmetic(mut self, operations: f64, peak: Option<f64>) -> Self {
        let rate = operations / self.best_ms / 1e6;
        (self.gflops, self.peak_gflops) = (Some(rate), peak);
        self.share_of_peak = peak.map(|peak| rate / peak);
        self
    }

    /// Its line in a table: name, size, times, arithmetic.
    fn cells(&self, threads: bool) -> Vec<String> {
        let mut row = vec![self.name.clone(), self.tokens.to_string()];
        if threads {
            row.push(self.threads.to_string());
        }
        row.extend([self.best_ms, self.median_ms, self.cpu_ms].map(|ms| format!("{ms:.2}")));
        row.push(self.gflops.map(|rate| format!("{rate:.0}")).unwrap_or_default());
        row.push(self.share_of_peak.map(|share| format!("{:.0} %", 100.0 * share)).unwrap_or_default());
        row.push(format!("{}, {}", self.kernels, self.numbers));
        row.extend(self.tokens_per_second.map(|rate| format!("{rate:.0} tokens/s")));
        row.extend(self.computed_share.map(|share| format!("{:.0} % of the rows", 100.0 * share)));
        row
    }
}

impl MachineOutput {
    /// What the processor is, and what it can do now.
    pub fn now() -> Self {
        let pairs = multiplies_pairs(isa()).then(|| peak::of_pool(Operands::Bf16Pairs));
        MachineOutput {
            threads: rayon::current_num_threads(),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            processor: processor(),
            kernels: isa().name().to_owned(),
            peak_one_core: peak::of_one_core(Operands::F32),
            peak_all: peak::of_pool(Operands::F32),
            peak_bf16_all: pairs,
        }
    }

    /// Takes the larger peaks: what was seen beside a case is a reading, too.
    fn raise(&mut self, case: &Case) {
        let Some(peak) = case.peak_gflops else { return };
        let most = match (case.numbers == NUMBERS_OF_PAIRS, case.threads) {
            (true, _) => self.peak_bf16_all.get_or_insert(peak),
            (false, threads) if threads == self.threads => &mut self.peak_all,
            (false, 1) => &mut self.peak_one_core,
            _ => return,
        };
        *most = most.max(peak);
    }
}

/// What [`Case::numbers`] says where pairs of bf16 numbers are multiplied as they are.
pub const NUMBERS_OF_PAIRS: &str = "bf16 pairs";

impl BenchOutput {
    pub fn new(mut machine: MachineOutput, products: Vec<Case>, models: Vec<ModelReport>) -> Self {
        let cases = products.iter().chain(models.iter().flat_map(|m| &m.cases));
        cases.for_each(|case| machine.raise(case));
        BenchOutput {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            machine,
            products,
            models,
        }
    }

    /// One line a case.
    pub fn text(&self) -> String {
        let m = &self.machine;
        let mut out = format!("{}, {} of {} cores, kernels {}\n", m.processor, m.threads, m.cores, m.kernels);
        let _ = write!(out, "peak {:.0} GFLOP/s on one core, {:.0} on all", m.peak_one_core, m.peak_all);
        let _ = match m.peak_bf16_all {
            Some(pairs) => writeln!(out, ", {pairs:.0} with pairs of bf16 numbers"),
            None => writeln!(out),
        };
        if !self.products.is_empty() {
            out.push_str("\nmatrix products, inner size x columns\n");
            let heads = ["", "rows", "threads", "best ms", "median", "CPU ms", "GFLOP/s", "of peak", "", ""];
            let mut table = Table::new(heads).right(1..8);
            self.products.iter().for_each(|case| table.row(case.cells(true)));
            out.push_str(&table.to_string());
        }
        for model in &self.models {
            let millions = model.parameters as f64 / 1e6;
            let _ = writeln!(out, "\n{}, {millions:.1} M parameters", model.id);
            let heads = ["", "tokens", "best ms", "median", "CPU ms", "GFLOP/s", "of peak", "", "", ""];
            let mut table = Table::new(heads).right(1..7);
            model.cases.iter().for_each(|case| table.row(case.cells(false)));
            out.push_str(&table.to_string());
        }
        out
    }
}

/// The processor by name; virtual machines often give a name that many have, so its family and model follow.
pub fn processor() -> String {
    let mut system = sysinfo::System::new();
    system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
    let brand = system.cpus().first().map(|c| c.brand().trim().to_owned()).unwrap_or_default();
    let name = if brand.is_empty() { std::env::consts::ARCH.to_owned() } else { brand };
    let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |wanted: &str| {
        let fields = about.lines().filter_map(|line| line.split_once(':'));
        fields.map(|(name, value)| (name.trim(), value.trim())).find(|f| f.0 == wanted).map(|f| f.1)
    };
    match (field("cpu family"), field("model")) {
        (Some(family), Some(model)) => format!("{name}, family {family} model {model}"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_names_its_machine_and_the_largest_peaks() {
        let mut machine = MachineOutput { peak_one_core: 10.0, peak_all: 20.0, ..MachineOutput::now() };
        machine.threads = 2;
        let case = |threads: usize, peak: f64| Case {
            threads,
            ..Case::new("product 1x1", 64, vec![2.0], &[2.0], None).with_arithmetic(4e6, Some(peak))
        };
        let report = BenchOutput::new(machine, vec![case(1, 12.0), case(2, 8.0)], Vec::new());
        assert_eq!((report.machine.peak_one_core, report.machine.peak_all), (12.0, 20.0));
        assert_eq!(report.products[1].share_of_peak, Some(2.0 / 8.0));
        let text = report.text();
        assert!(text.contains("peak 12 GFLOP/s on one core, 20 on all"), "{text}");
        assert!(text.contains(isa().name()) && text.contains("25 %"), "{text}");
        let json = serde_json::to_string(&report).unwrap();
        let read: BenchOutput = serde_json::from_str(&json).unwrap();
        assert_eq!(read.products[0].kernels, isa().name());
    }
}
