//! What every head of a model reads over windows of text.

use serde::{Deserialize, Serialize};

use super::probe;
use crate::attention::heads::HeadStats;
use crate::model::{Model, ModelError};

/// From this share on a head is named after what it reads.
pub const NAMED: f64 = 0.4;

/// What a head reads, means over windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeadShares {
    /// Attention on the first token by later queries.
    pub sink: f64,
    /// Attention on the token before.
    pub previous: f64,
    /// On random tokens that repeat with a period of their own: attention to the tokens after earlier copies (Olsson 2022).
    pub induction: f64,
    /// Nats.
    pub entropy: f64,
}

impl HeadShares {
    fn add_text(&mut self, stats: &HeadStats) {
        self.sink += stats.sink;
        self.previous += stats.previous;
        self.entropy += stats.entropy;
    }

    fn over(self, n: usize) -> Self {
        let [sink, previous, induction, entropy] =
            [self.sink, self.previous, self.induction, self.entropy].map(|sum| sum / n.max(1) as f64);
        HeadShares { sink, previous, induction, entropy }
    }
}

/// One head.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeadProfile {
    pub layer: usize,
    pub head: usize,
    #[serde(flatten)]
    pub plain: HeadShares,
    /// The same texts behind the end-of-text token, where that was looked at.
    #[serde(default)]
    pub after_mark: Option<HeadShares>,
    /// What it mostly reads, where it mostly reads one thing.
    pub kind: Option<String>,
}

/// Every head of `model`, layer by layer, over windows of text and over as many random texts that repeat; also with `mark` before
/// each of them, where there is one.
///
/// # Errors
/// A pass that fails, or numbers in it that are none.
pub fn profiles(
    model: &Model,
    windows: &[Vec<u32>],
    mark: Option<u32>,
    seed: u64,
) -> Result<Vec<HeadProfile>, ModelError> {
    let plain = shares(model, windows, None, seed)?;
    let marked = mark.map(|mark| shares(model, windows, Some(mark), seed)).transpose()?;
    let n_head = model.config.n_head;
    let head = |(at, plain): (usize, HeadShares)| {
        let after_mark = marked.as_ref().map(|all| all[at]);
        let kind = kind(&plain, after_mark.as_ref()).map(str::to_owned);
        HeadProfile { layer: at / n_head, head: at % n_head, plain, after_mark, kind }
    };
    Ok(plain.into_iter().enumerate().map(head).collect())
}

/// Every head's means; `mark` comes before each text, in place of its last token.
fn shares(
    model: &Model,
    windows: &[Vec<u32>],
    mark: Option<u32>,
    seed: u64,
) -> Result<Vec<HeadShares>, ModelError> {
    let mut sums = vec![HeadShares::default(); model.config.n_layer * model.config.n_head];
    for (at, window) in windows.iter().enumerate() {
        let begun = |mut ids: Vec<u32>| {
            if let Some(mark) = mark {
                ids.rotate_right(1);
                ids[0] = mark;
            }
            ids
        };
        let text = begun(window.clone());
        let period = probe::varied_period(seed, at, window.len());
        let random = begun(probe::repeats(seed, at, (period, window.len()), model.config.vocab_size));
        for (sum, stats) in sums.iter_mut().zip(probe::heads(model, &text, 0)?) {
            sum.add_text(&stats);
        }
        for (sum, stats) in sums.iter_mut().zip(probe::heads(model, &random, 0)?) {
            sum.induction += stats.induction.unwrap_or(0.0);
        }
    }
    Ok(sums.into_iter().map(|sum| sum.over(windows.len())).collect())
}

/// The name of what a head reads most, with or without a mark before the text.
fn kind(plain: &HeadShares, after_mark: Option<&HeadShares>) -> Option<&'static str> {
    let most = |share: fn(&HeadShares) -> f64| share(plain).max(after_mark.map_or(0.0, share));
    [
        ("induction", most(|s| s.induction)),
        ("previous token", most(|s| s.previous)),
        ("sink", most(|s| s.sink)),
    ]
    .into_iter()
    .filter(|(_, share)| *share >= NAMED)
    .max_by(|a, b| a.1.total_cmp(&b.1))
    .map(|(name, _)| name)
}
