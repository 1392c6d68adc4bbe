//! Shares of the peak that cases reached when they were last recorded, by `maskscope bench --check` on a quiet machine. What
//! `--check` compares with; written by hand from its output, with the date.

/// What one machine reached with one set of kernels.
#[derive(Debug)]
pub struct Recorded {
    /// As [`super::report::Case::kernels`] names them.
    pub kernels: &'static str,
    pub processor: &'static str,
    /// Year, month, day.
    pub date: &'static str,
    pub shares: &'static [RecordedShare],
}

/// The share of one case.
#[derive(Debug)]
pub struct RecordedShare {
    /// The model's id; empty for a product.
    pub model: &'static str,
    pub case: &'static str,
    pub tokens: usize,
    /// One, or all of the two that were used.
    pub threads: usize,
    pub share: f64,
}

const fn share(
    model: &'static str,
    case: &'static str,
    tokens: usize,
    threads: usize,
    share: f64,
) -> RecordedShare {
    RecordedShare { model, case, tokens, threads, share }
}

/// A case that reaches less than this part of its recorded share is far below it. Half: processors with the same instructions differ
/// in their caches and memory, and other programs take their part, while the faults that this is meant to find (sums on the stack,
/// a kernel that is not taken) cost a factor of two to ten.
pub const TOLERANCE: f64 = 0.5;

/// All records; one for each set of kernels.
pub const RECORDED: &[Recorded] = &[Recorded {
    kernels: "avx512",
    processor: "Intel Xeon, family 6 model 207, two virtual cores",
    date: "2026-11-30",
    shares: &[share("bundled", "train step", 2048, 2, 0.40), share("gpt2", "train step", 512, 2, 0.57)],
}];
