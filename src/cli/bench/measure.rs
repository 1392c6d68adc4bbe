//! Clocks and spreads: the best of many rounds, since a shared machine only ever adds time.

use std::time::{Duration, Instant};

use super::report::Case;

/// A case stops after this time even if rounds are left, but never before three of them.
const PATIENCE: Duration = Duration::from_secs(20);
const LEAST_ROUNDS: usize = 3;

/// How cases are measured.
pub struct CaseMeter {
    rounds: usize,
    only: Vec<String>,
}

impl CaseMeter {
    pub fn new(rounds: usize, only: Vec<String>) -> Self {
        CaseMeter { rounds, only }
    }

    /// Whether a case was asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|o| name.starts_with(o.as_str()))
    }

    /// Runs `work` once to warm up, then measures it round after round.
    ///
    /// # Errors
    /// The first error of `work`.
    pub fn case<E>(
        &self,
        name: &str,
        tokens: usize,
        mut work: impl FnMut() -> Result<(), E>,
    ) -> Result<Case, E> {
        work()?;
        let peak = Peak::start();
        let (mut wall, mut cpu, begun) = (Vec::new(), Vec::new(), Instant::now());
        while wall.len() < self.rounds && (wall.len() < LEAST_ROUNDS || begun.elapsed() < PATIENCE) {
            let (start, spent) = (Instant::now(), cpu_time::ProcessTime::now());
            work()?;
            wall.push(start.elapsed().as_secs_f64() * 1e3);
            cpu.push(spent.elapsed().as_secs_f64() * 1e3);
        }
        Ok(Case::new(name, tokens, wall, &cpu, peak.bytes()))
    }
}

/// The largest resident size of this process from a moment on, where the system can say so (Linux).
struct Peak;

impl Peak {
    fn start() -> Self {
        // Resets the high-water mark (`man 5 proc`); elsewhere the file is missing and the figure is left out.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        Peak
    }

    fn bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_keeps_the_best_and_the_spread() {
        let mut n = 0u32;
        let case = CaseMeter::new(7, Vec::new())
            .case("x", 3, || {
                n += 1;
                Ok::<(), ()>(())
            })
            .unwrap();
        assert_eq!((n, case.rounds), (8, 7), "one round warms up");
        assert!(case.best_ms <= case.median_ms && case.median_ms <= case.worst_ms);
    }

    #[test]
    fn only_some_cases_may_be_wanted() {
        let meter = CaseMeter::new(1, vec!["forward".to_owned()]);
        assert!(meter.wants("forward with score") && !meter.wants("append"));
        assert!(CaseMeter::new(1, Vec::new()).wants("anything"));
    }
}
