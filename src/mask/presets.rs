//! Cache policies by name. A budget policy is put together from what is kept anyway, what is recent, and what ranks
//! high among the rest; one token set for all layers and heads.

use super::draw::{Draws, Stream};
use crate::attention::score::pool_average;
use crate::attention::types::{Reduction, ScoreSettings};
use crate::settings::{choice, optional};

choice! {
    /// A published policy, or a control for one.
    pub enum CachePolicy {
        /// half the cache recent, half what all queries together read most
        /// (arXiv 2306.14048)
        H2o = "h2o",
        /// the last 16 tokens, and what they read most, pooled over 5 neighbours
        /// (arXiv 2404.14469)
        SnapKv = "snapkv",
        /// what the last query reads most
        /// (arXiv 2401.06104)
        Tova = "tova",
        /// the first 4 tokens and recent ones; no score
        /// (arXiv 2309.17453)
        StreamingLlm = "streaming-llm",
        /// judged by τ and p once, when it leaves the newest 128
        /// A threshold instead of a budget. Named so because real DMS (arXiv 2506.05345) is learned.
        DmsLike = "dms-like",
        /// recent tokens only
        Recency = "recency",
        /// half the cache recent, the rest at random: a control
        /// (for `snapkv-half`)
        Random = "random",
        /// half the cache recent, the rest what is read least: a control
        /// (by the last 16 queries)
        Inverse = "inverse",
        /// SnapKV's score with half the cache recent
        /// The default for `evict`.
        SnapKvHalf = "snapkv-half",
    }
}

optional!(CachePolicy, "threshold", "τ, p and polarity decide at every boundary");

/// SnapKV's observation window, in queries and in tokens that are kept.
pub const SNAPKV_WINDOW: usize = 16;
/// SnapKV's pooling, in neighbouring positions.
pub const SNAPKV_POOL: usize = 5;
/// StreamingLLM's sink tokens.
pub const STREAMING_FIRST: usize = 4;
/// Newest tokens that DMS never removes.
pub const DMS_WINDOW: usize = 128;

/// How much may stay in the cache.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// Of the tokens seen so far, in (0, 1].
    Share(f64),
    Tokens(usize),
}

impl Budget {
    /// Tokens kept after `seen`, at least 1.
    pub fn tokens(self, seen: usize) -> usize {
        match self {
            Budget::Share(share) => (share * seen as f64).round() as usize,
            Budget::Tokens(n) => n,
        }
        .clamp(1, seen.max(1))
    }
}

impl Default for Budget {
    fn default() -> Self {
        Budget::Share(0.5)
    }
}

/// What fills a budget after the protected, first and recent tokens.
#[derive(Clone, Copy, PartialEq)]
enum Fill {
    /// Nothing has a rank: more recent tokens.
    Recent,
    Highest,
    Lowest,
    Draw,
}

struct PolicyParts {
    first: usize,
    recent: Recent,
    pool: bool,
    fill: Fill,
}

#[derive(Clone, Copy)]
enum Recent {
    Half,
    Tokens(usize),
}

impl CachePolicy {
    /// Whether it keeps a budget (`dms-like` goes by τ and p instead).
    pub fn has_budget(self) -> bool {
        self != CachePolicy::DmsLike
    }

    /// The score it ranks by, over the layers and heads of `base`; `None` where it uses no score.
    pub fn score(self, base: &ScoreSettings) -> Option<ScoreSettings> {
        let reduction = match self {
            CachePolicy::H2o => Reduction::Sum,
            CachePolicy::Tova => Reduction::Last,
            CachePolicy::SnapKv | CachePolicy::SnapKvHalf | CachePolicy::Inverse => Reduction::Window,
            CachePolicy::StreamingLlm | CachePolicy::Recency | CachePolicy::Random | CachePolicy::DmsLike => {
                return None;
            }
        };
        Some(ScoreSettings { reduction, contribution: false, window: SNAPKV_WINDOW, ..base.clone() })
    }

    /// ρ, where the policy fixes it: H2O never forgets.
    pub fn decay(self) -> Option<f64> {
        (self == CachePolicy::H2o).then_some(1.0)
    }

    fn parts(self) -> PolicyParts {
        let (first, recent, pool, fill) = match self {
            CachePolicy::H2o => (0, Recent::Half, false, Fill::Highest),
            CachePolicy::SnapKv => (0, Recent::Tokens(SNAPKV_WINDOW), true, Fill::Highest),
            CachePolicy::Tova => (0, Recent::Tokens(1), false, Fill::Highest),
            CachePolicy::StreamingLlm => (STREAMING_FIRST, Recent::Tokens(1), false, Fill::Recent),
            CachePolicy::DmsLike | CachePolicy::Recency => (0, Recent::Tokens(1), false, Fill::Recent),
            CachePolicy::Random => (0, Recent::Half, false, Fill::Draw),
            CachePolicy::Inverse => (0, Recent::Half, true, Fill::Lowest),
            CachePolicy::SnapKvHalf => (0, Recent::Half, true, Fill::Highest),
        };
        PolicyParts { first, recent, pool, fill }
    }
}

/// What a budget policy decides from, after `scores.len()` tokens. Slices are `[seen]`.
pub struct KeepInput<'a> {
    pub budget: usize,
    /// Scores as the policy needs them; undefined ones rank lowest.
    pub scores: &'a [Option<f64>],
    /// Not evicted yet.
    pub cached: &'a [bool],
    /// Never evicted; they use up budget.
    pub protected: &'a [bool],
    pub draws: Draws,
}

/// What a budget policy keeps, and how it ranked the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptTokens {
    pub keep: Vec<bool>,
    /// Rank among those that competed, 1 = last to go; `None` for those kept anyway or gone.
    pub rank: Vec<Option<usize>>,
    /// The number it was ranked by.
    pub value: Vec<Option<f64>>,
    /// The newest tokens that are kept for being new.
    pub recent: Vec<bool>,
}

/// Applies a budget. Protected, first and recent tokens stay in any case, even beyond the budget; of equals the later
/// one stays.
pub fn keep_set(preset: CachePolicy, input: &KeepInput) -> KeptTokens {
    let seen = input.scores.len();
    let parts = preset.parts();
    let newest = match parts.recent {
        Recent::Half => (input.budget / 2).max(1),
        Recent::Tokens(n) => n,
    };
    let recent: Vec<bool> = (0..seen).map(|i| i + newest >= seen && input.cached[i]).collect();
    let mut keep: Vec<bool> =
        (0..seen).map(|i| input.cached[i] && (input.protected[i] || i < parts.first || recent[i])).collect();
    let value = values(&parts, input);
    let mut rest: Vec<usize> = (0..seen).filter(|&i| input.cached[i] && !keep[i]).collect();
    // Stable, so the later of two equals comes later, and the last stay.
    rest.sort_by(|&a, &b| value[a].unwrap_or(f64::MIN).total_cmp(&value[b].unwrap_or(f64::MIN)));
    let mut rank = vec![None; seen];
    let left = input.budget.saturating_sub(keep.iter().filter(|k| **k).count());
    let gone = rest.len().saturating_sub(left);
    for (n, &i) in rest.iter().enumerate() {
        rank[i] = Some(rest.len() - n);
        keep[i] = n >= gone;
    }
    KeptTokens { keep, rank, value, recent }
}

fn values(parts: &PolicyParts, input: &KeepInput) -> Vec<Option<f64>> {
    let alive = |(i, s): (usize, &Option<f64>)| s.filter(|_| input.cached[i]);
    let scores: Vec<Option<f64>> = input.scores.iter().enumerate().map(alive).collect();
    let scores = if parts.pool { pool_average(&scores, SNAPKV_POOL) } else { scores };
    let seen = scores.len();
    match parts.fill {
        Fill::Highest => scores,
        Fill::Lowest => scores.into_iter().map(|s| s.map(|s| -s)).collect(),
        Fill::Recent => (0..seen).map(|i| Some(i as f64)).collect(),
        Fill::Draw => (0..seen).map(|i| Some(input.draws.unit(Stream::Decision, i))).collect(),
    }
}

#[cfg(test)]
#[path = "presets_tests.rs"]
mod tests;
