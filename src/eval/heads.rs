//! What every head of a model reads over windows of text.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::attention::heads::{HeadsRequest, head_stats};
use crate::mask::draw::{Draws, Stream};
use crate::model::finite::check_trace;
use crate::model::forward::Reuse;
use crate::model::input::Input;
use crate::model::{Model, ModelError};

/// From this share on a head is named after what it reads.
pub const NAMED: f64 = 0.4;

/// One head, means over windows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeadProfile {
    pub layer: usize,
    pub head: usize,
    /// Attention on the first token by later queries.
    pub sink: f64,
    /// Attention on the token before.
    pub previous: f64,
    /// On random tokens that come twice in a row: attention to the token after the earlier copy (Olsson 2022).
    pub induction: f64,
    /// Nats.
    pub entropy: f64,
    /// What it mostly reads, where it mostly reads one thing.
    pub kind: Option<String>,
}

/// Every head of `model`, layer by layer, over windows of text; each goes with one of random tokens, drawn from `seed` and half
/// as many, which come twice.
///
/// # Errors
/// A pass that fails, or numbers in it that are none.
pub fn profiles(model: &Model, windows: &[Vec<u32>], seed: u64) -> Result<Vec<HeadProfile>, ModelError> {
    let n_head = model.config.n_head;
    let at = |at: usize| HeadProfile { layer: at / n_head, head: at % n_head, ..HeadProfile::default() };
    let mut heads: Vec<HeadProfile> = (0..model.config.n_layer * n_head).map(at).collect();
    for (at, window) in windows.iter().enumerate() {
        let random = repeated(seed, at, window.len() / 2, model.config.vocab_size);
        add(model, window.clone(), &mut heads, false)?;
        add(model, random, &mut heads, true)?;
    }
    for head in &mut heads {
        for sum in [&mut head.sink, &mut head.previous, &mut head.induction, &mut head.entropy] {
            *sum /= windows.len().max(1) as f64;
        }
        head.kind = kind(head);
    }
    Ok(heads)
}

/// `half` random tokens, twice: a copy of what came before can only be found by looking for it.
fn repeated(seed: u64, window: usize, half: usize, vocab: usize) -> Vec<u32> {
    let draws = Draws { sequence: window as u32, ..Draws::new(seed) };
    let one: Vec<u32> = (0..half).map(|i| draws.below(Stream::Replacement, i, vocab) as u32).collect();
    [one.clone(), one].concat()
}

/// Adds one text's statistics.
fn add(model: &Model, ids: Vec<u32>, heads: &mut [HeadProfile], random: bool) -> Result<(), ModelError> {
    let len = ids.len();
    let trace = model.run(Arc::new(Input::plain(ids.clone())), Reuse::default())?;
    check_trace(model, &trace)?;
    let mut map = vec![0f32; len * len];
    for head in heads {
        trace.map_into(head.layer, head.head, &mut map)?;
        let stats = head_stats(&map, len, &HeadsRequest { ids: &ids, masked: &[], side: 0 });
        if random {
            head.induction += stats.induction.unwrap_or(0.0);
        } else {
            head.sink += stats.sink;
            head.previous += stats.previous;
            head.entropy += stats.entropy;
        }
    }
    Ok(())
}

fn kind(head: &HeadProfile) -> Option<String> {
    [("induction", head.induction), ("previous token", head.previous), ("sink", head.sink)]
        .into_iter()
        .filter(|(_, share)| *share >= NAMED)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(name, _)| name.to_owned())
}
