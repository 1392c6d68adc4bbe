//! `maskscope bench --check`: whether this machine computes as fast as it should. Fails where a stronger set of kernels is slower
//! than a weaker one, and where a case is far below its recorded share of the peak.

use std::process::Command;

use anyhow::Context as _;

use super::recorded::{RECORDED, Recorded, TOLERANCE};
use super::report::{BenchOutput, Case};
use crate::cli::error::CliError;
use crate::tensor::kernels::isa::{self, Isa};

/// The cases whose shares are recorded.
pub const CASES: [&str; 3] = ["product", "forward", "train step"];
/// The cases that every set of kernels is measured with: short, and of every kind.
const COMPARED: &str = "product 128,product 512,product 768x768,forward,train step";
const COMPARED_ROUNDS: &str = "7";
/// A set may take this much longer than a weaker one before it counts as slower: other programs run beside it.
const NOISE: f64 = 1.15;
/// Comparisons that must find the same case slower.
const TRIES: usize = 3;

/// One thing that is not as it should be, in a sentence.
type Finding = String;

/// What `report` and further runs say about this machine: a text for people.
///
/// # Errors
/// Findings, one sentence each; a run that failed.
pub fn run(report: &BenchOutput) -> anyhow::Result<String> {
    let (mut out, mut findings) = (String::new(), Vec::new());
    match recorded_for(report) {
        Some(record) => {
            findings.extend(far_below(report, record));
            out.push_str(&format!(
                "\nshares of the peak compared with those of {} ({}, {})\n",
                record.date, record.processor, record.kernels
            ));
        }
        None => out.push_str("\nno shares of the peak are recorded for these kernels\n"),
    }
    let sets: Vec<Isa> = Isa::all_here().collect();
    for pair in sets.windows(2) {
        let (slower, compared) = slower_cases((pair[0], pair[1]), report.machine.threads)?;
        findings.extend(slower);
        out.push_str(&format!("{} compared with {}: {compared} cases\n", pair[1].name(), pair[0].name()));
    }
    let mut findings = findings.into_iter();
    match findings.next() {
        None => Ok(out + "ok\n"),
        Some(first) => {
            let more = findings.map(|finding| (finding, None)).collect();
            Err(CliError { more, ..CliError::failed(first) }.into())
        }
    }
}

fn recorded_for(report: &BenchOutput) -> Option<&'static Recorded> {
    RECORDED.iter().find(|record| record.kernels == report.machine.kernels)
}

/// All cases, with the id of their model.
fn cases(report: &BenchOutput) -> impl Iterator<Item = (&str, &Case)> {
    let of_models = report.models.iter().flat_map(|m| m.cases.iter().map(|case| (m.id.as_str(), case)));
    report.products.iter().map(|case| ("", case)).chain(of_models)
}

fn far_below(report: &BenchOutput, record: &Recorded) -> Vec<Finding> {
    let find = |model: &str, case: &Case| {
        // On other numbers of threads than one and all, shares differ.
        let threads = if case.threads == 1 { 1 } else { 2 };
        let wanted = record.shares.iter().find(|r| {
            (r.model, r.case, r.tokens, r.threads) == (model, case.name.as_str(), case.tokens, threads)
        })?;
        let share = case.share_of_peak.filter(|share| *share < TOLERANCE * wanted.share)?;
        Some(format!(
            "{} reaches {:.0} % of the peak, {:.0} % when it was recorded ({}, {}): less than {:.0} % of it is too little",
            place(model, case),
            100.0 * share,
            100.0 * wanted.share,
            record.date,
            record.processor,
            100.0 * TOLERANCE
        ))
    };
    cases(report).filter_map(|(model, case)| find(model, case)).collect()
}

/// A case in words.
fn place(model: &str, case: &Case) -> String {
    let threads = if case.threads == 1 { "1 thread".to_owned() } else { format!("{} threads", case.threads) };
    match model {
        "" => format!("{} of {} rows on {threads}", case.name, case.tokens),
        model => format!("{} of {} tokens ({model}, {threads})", case.name, case.tokens),
    }
}

/// The cases that the stronger set is slower in, every time that both are measured, and how many were compared.
fn slower_cases((weak, strong): (Isa, Isa), threads: usize) -> anyhow::Result<(Vec<Finding>, usize)> {
    let mut best = [measured(weak, threads)?, measured(strong, threads)?];
    for _ in 1..TRIES {
        if slower(&best[0], &best[1]).is_empty() {
            break;
        }
        // The best of all tries counts.
        for (set, best) in [weak, strong].into_iter().zip(&mut best) {
            keep_faster(best, &measured(set, threads)?);
        }
    }
    Ok((slower(&best[0], &best[1]), cases(&best[1]).count()))
}

/// What a run of this program with a set of kernels measures.
fn measured(isa: Isa, threads: usize) -> anyhow::Result<BenchOutput> {
    let program = std::env::current_exe().context("this program cannot be found")?;
    let mut command = Command::new(program);
    command.args(["bench", "--shape", "bundled", "--lengths", "64,256", "--json"]);
    command.args(["--only", COMPARED, "--rounds", COMPARED_ROUNDS, "--threads", &threads.to_string()]);
    let output = command.env(isa::OVERRIDE, isa.name()).output().context("this program cannot be started")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::bail!("a run with {} kernels failed: {}", isa.name(), said.trim());
    }
    serde_json::from_slice(&output.stdout).context("a run of this program gave no report")
}

fn keep_faster(best: &mut BenchOutput, other: &BenchOutput) {
    let all = best.products.iter_mut().chain(best.models.iter_mut().flat_map(|m| &mut m.cases));
    for (case, (_, again)) in all.zip(cases(other)) {
        case.best_ms = case.best_ms.min(again.best_ms);
    }
}

/// Cases in which `strong` is slower than `weak`.
fn slower(weak: &BenchOutput, strong: &BenchOutput) -> Vec<Finding> {
    let both = cases(weak).zip(cases(strong));
    both.filter(|((_, weak), (_, strong))| strong.best_ms > NOISE * weak.best_ms)
        .map(|((model, weak), (_, strong))| {
            format!(
                "{} takes {:.3} ms with {} kernels and {:.3} ms with {}, which should be slower",
                place(model, strong),
                strong.best_ms,
                strong.kernels,
                weak.best_ms,
                weak.kernels
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::recorded::RecordedShare;
    use super::super::report::{MachineOutput, ModelReport};
    use super::*;

    fn report(kernels: &str, product_ms: f64, step_ms: f64) -> BenchOutput {
        let case = |name: &str, tokens: usize, ms: f64| Case {
            kernels: kernels.to_owned(),
            threads: 2,
            ..Case::new(name, tokens, vec![ms], &[ms], None).with_arithmetic(1e6, Some(1.0))
        };
        let model = ModelReport {
            id: "bundled".to_owned(),
            parameters: 1,
            layers: 1,
            heads: 1,
            width: 1,
            context: 1,
            vocabulary: 1,
            cases: vec![case("train step", 2048, step_ms)],
        };
        let machine = MachineOutput {
            threads: 2,
            cores: 2,
            processor: String::new(),
            kernels: kernels.to_owned(),
            peak_one_core: 1.0,
            peak_all: 1.0,
            peak_bf16_all: None,
        };
        BenchOutput::new(machine, vec![case("product 768x768", 64, product_ms)], vec![model])
    }

    #[test]
    fn a_stronger_set_that_is_slower_is_found() {
        let weak = report("avx2", 10.0, 10.0);
        assert_eq!(slower(&weak, &report("avx512", 5.0, 11.0)), [""; 0], "within the noise");
        let found = slower(&weak, &report("avx512", 5.0, 16.0));
        let said = "train step of 2048 tokens (bundled, 2 threads) takes 16.000 ms with avx512 kernels and 10.000 ms with \
                    avx2, which should be slower";
        assert_eq!(found, [said]);
    }

    #[test]
    fn the_faster_of_several_tries_counts() {
        let mut best = report("avx512", 9.0, 16.0);
        keep_faster(&mut best, &report("avx512", 12.0, 8.0));
        assert_eq!(cases(&best).map(|c| c.1.best_ms).collect::<Vec<_>>(), [9.0, 8.0]);
    }

    #[test]
    fn a_case_far_below_its_recorded_share_is_found() {
        let share = |model, case, tokens, threads| RecordedShare { model, case, tokens, threads, share: 0.8 };
        let shares = [
            share("", "product 768x768", 64, 2),
            share("", "product 768x768", 64, 1),
            share("gpt2", "train step", 2048, 2),
        ];
        let record =
            Recorded { kernels: "avx2", processor: "P", date: "D", shares: Box::leak(Box::new(shares)) };
        // A million operations in 2 ms are half of the peak of these reports, in 4 ms a quarter.
        assert_eq!(far_below(&report("avx2", 2.0, 100.0), &record), [""; 0]);
        let found = far_below(&report("avx2", 4.0, 100.0), &record);
        let said = "product 768x768 of 64 rows on 2 threads reaches 25 % of the peak, 80 % when it was recorded (D, P): \
                    less than 50 % of it is too little";
        assert_eq!(found, [said]);
    }

    #[test]
    fn records_are_shares_of_cases_that_are_measured() {
        for record in RECORDED {
            assert!(["plain", "avx2", "avx512"].contains(&record.kernels), "{record:?}");
            for r in record.shares {
                assert!(CASES.iter().any(|case| r.case.starts_with(case)), "{r:?}");
                assert!((0.0..=1.1).contains(&r.share) && (1..=2).contains(&r.threads), "{r:?}");
            }
        }
        let mut kernels: Vec<&str> = RECORDED.iter().map(|record| record.kernels).collect();
        kernels.dedup();
        assert_eq!(kernels.len(), RECORDED.len(), "one record for each set of kernels");
    }
}
