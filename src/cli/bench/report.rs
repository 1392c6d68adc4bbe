//! What a bench run says: a stable JSON form and lines for people.

use std::fmt::Write as _;

use serde::Serialize;

use crate::support::table::Table;

/// Changes when a field changes its meaning or goes away; new fields and new cases may come at any time.
const SCHEMA: u32 = 1;

/// Everything one run measured.
#[derive(Clone, Debug, Serialize)]
pub struct BenchOutput {
    pub schema: u32,
    pub version: &'static str,
    pub machine: MachineOutput,
    pub models: Vec<ModelReport>,
}

/// Where it ran.
#[derive(Clone, Debug, Serialize)]
pub struct MachineOutput {
    /// Threads of the pool that was measured.
    pub threads: usize,
    pub cores: usize,
    pub processor: String,
}

/// One model's cases.
#[derive(Clone, Debug, Serialize)]
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
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    pub name: String,
    /// Length of the text in tokens; 0 where there is none.
    pub tokens: usize,
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
}

impl Case {
    /// `wall` and `cpu` in milliseconds, one per round; at least one round.
    pub fn new(name: &str, tokens: usize, mut wall: Vec<f64>, cpu: &[f64], peak_bytes: Option<u64>) -> Self {
        wall.sort_unstable_by(f64::total_cmp);
        let at = |i: usize| wall.get(i).copied().unwrap_or(f64::NAN);
        Case {
            name: name.to_owned(),
            tokens,
            rounds: wall.len(),
            best_ms: at(0),
            median_ms: at(wall.len() / 2),
            worst_ms: at(wall.len().saturating_sub(1)),
            cpu_ms: cpu.iter().copied().fold(f64::INFINITY, f64::min),
            peak_bytes,
            tokens_per_second: None,
            computed_share: None,
        }
    }
}

impl BenchOutput {
    pub fn new(models: Vec<ModelReport>) -> Self {
        let machine = MachineOutput {
            threads: rayon::current_num_threads(),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            processor: processor(),
        };
        BenchOutput { schema: SCHEMA, version: env!("CARGO_PKG_VERSION"), machine, models }
    }

    /// One line a case.
    pub fn text(&self) -> String {
        let m = &self.machine;
        let mut out = format!("{}, {} of {} cores\n", m.processor, m.threads.min(m.cores), m.cores);
        for model in &self.models {
            let millions = model.parameters as f64 / 1e6;
            let _ = writeln!(out, "\n{}, {millions:.1} M parameters", model.id);
            let heads = ["", "tokens", "best ms", "median", "CPU ms", "", ""];
            let mut table = Table::new(heads).right(1..5);
            for c in &model.cases {
                let mut row = vec![c.name.clone(), c.tokens.to_string()];
                row.extend([c.best_ms, c.median_ms, c.cpu_ms].map(|ms| format!("{ms:.2}")));
                row.extend(c.tokens_per_second.map(|rate| format!("{rate:.0} tokens/s")));
                row.extend(c.computed_share.map(|share| format!("{:.0} % of the rows", 100.0 * share)));
                table.row(row);
            }
            out.push_str(&table.to_string());
        }
        out
    }
}

fn processor() -> String {
    let mut system = sysinfo::System::new();
    system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
    let brand = system.cpus().first().map(|c| c.brand().trim().to_owned()).unwrap_or_default();
    if brand.is_empty() { std::env::consts::ARCH.to_owned() } else { brand }
}
