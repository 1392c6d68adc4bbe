//! Clocks and spreads: the best of many rounds, since a shared machine only ever adds time.

use std::time::{Duration, Instant};

use super::arithmetic::Arithmetic;
use super::report::Case;
use crate::tensor::kernels::peak;

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
        let memory = PeakMemory::start();
        let (mut wall, mut cpu, begun) = (Vec::new(), Vec::new(), Instant::now());
        while wall.len() < self.rounds && (wall.len() < LEAST_ROUNDS || begun.elapsed() < PATIENCE) {
            let (start, spent) = (Instant::now(), cpu_time::ProcessTime::now());
            work()?;
            wall.push(start.elapsed().as_secs_f64() * 1e3);
            cpu.push(spent.elapsed().as_secs_f64() * 1e3);
        }
        Ok(Case::new(name, tokens, wall, &cpu, memory.bytes()))
    }

    /// As [`CaseMeter::case`] for work whose arithmetic is known: the peak is measured right before and right after it, since a
    /// processor changes its clock.
    ///
    /// # Errors
    /// As there.
    pub fn counted<E>(
        &self,
        name: &str,
        tokens: usize,
        counted: Arithmetic,
        work: impl FnMut() -> Result<(), E>,
    ) -> Result<Case, E> {
        let peak = || counted.operands.map(peak::of_pool);
        let before = peak();
        let case = self.case(name, tokens, work)?;
        let peak = before.zip(peak()).map(|(before, after)| before.max(after));
        Ok(case.with_arithmetic(counted.operations, peak))
    }
}

/// The largest resident size of this process from a moment on, where the system can say so (Linux).
struct PeakMemory;

impl PeakMemory {
    fn start() -> Self {
        // Resets the high-water mark (`man 5 proc`); elsewhere the file is missing and the figure is left out.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        PeakMemory
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
    use crate::tensor::kernels::peak::Operands;

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
        assert_eq!((case.gflops, case.share_of_peak), (None, None));
    }

    #[test]
    fn counted_work_has_its_rate_and_its_share_of_the_peak() {
        let meter = CaseMeter::new(3, Vec::new());
        let wait = || -> Result<(), ()> {
            std::thread::sleep(Duration::from_millis(2));
            Ok(())
        };
        let work = Arithmetic { operations: 1e6, operands: Some(Operands::F32) };
        let case = meter.counted("x", 3, work, wait).unwrap();
        let (rate, peak, share) =
            (case.gflops.unwrap(), case.peak_gflops.unwrap(), case.share_of_peak.unwrap());
        assert!((rate - 1.0 / case.best_ms).abs() < 1e-9, "a million operations: {rate}");
        assert!((share - rate / peak).abs() < 1e-9 && share > 0.0, "{share}");
        let elsewhere = meter.counted("x", 3, Arithmetic { operands: None, ..work }, wait).unwrap();
        assert!(elsewhere.gflops.is_some() && elsewhere.share_of_peak.is_none());
    }

    #[test]
    fn only_some_cases_may_be_wanted() {
        let meter = CaseMeter::new(1, vec!["forward".to_owned()]);
        assert!(meter.wants("forward with score") && !meter.wants("append"));
        assert!(CaseMeter::new(1, Vec::new()).wants("anything"));
    }
}
