//! What the heads of a model read on texts that are made for it: random tokens that repeat, with a period of their own. Runs
//! on the caller's thread; a function of the model and a seed.

use std::sync::Arc;

use crate::attention::heads::{HeadStats, HeadsRequest, head_stats};
use crate::mask::draw::{Draws, Stream};
use crate::model::finite::check_trace;
use crate::model::forward::Reuse;
use crate::model::input::Input;
use crate::model::{Model, ModelError};

/// Text number `number`: `period` ids below `vocabulary`, drawn from `seed`, repeated to `length` tokens. What follows a copy
/// can only be found by looking for it.
pub fn repeats(seed: u64, number: usize, (period, length): (usize, usize), vocabulary: usize) -> Vec<u32> {
    let draws = Draws { sequence: number as u32, ..Draws::new(seed) };
    (0..length).map(|i| draws.below(Stream::Replacement, i % period, vocabulary) as u32).collect()
}

/// A period for text number `number`, from an eighth to half of its `length`: a head that always looks the same number of
/// tokens back finds few copies.
pub fn varied_period(seed: u64, number: usize, length: usize) -> usize {
    let (least, most) = ((length / 8).max(1), (length / 2).max(1));
    let draws = Draws { sequence: number as u32, ..Draws::new(seed) };
    least + draws.below(Stream::Length, 0, most - least + 1)
}

/// Statistics of every head over one text, layer by layer; `side` is the thumbnails'.
///
/// # Errors
/// A text that does not fit the model; numbers that are not finite.
pub fn heads(model: &Model, ids: &[u32], side: usize) -> Result<Vec<HeadStats>, ModelError> {
    let len = ids.len();
    let trace = model.run(Arc::new(Input::plain(ids.to_vec())), Reuse::default())?;
    check_trace(model, &trace)?;
    let mut map = vec![0f32; len * len];
    let request = HeadsRequest { ids, masked: &[], side };
    let n_head = model.config.n_head;
    (0..model.config.n_layer * n_head)
        .map(|at| {
            trace.map_into(at / n_head, at % n_head, &mut map)?;
            Ok(head_stats(&map, len, &request))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_repeat_with_their_period_and_differ() {
        let text = repeats(1, 0, (6, 20), 50);
        assert!(text.len() == 20 && text.iter().all(|id| *id < 50));
        assert!((6..20).all(|i| text[i] == text[i - 6]));
        assert_ne!(text, repeats(1, 1, (6, 20), 50));
        assert_ne!(text, repeats(2, 0, (6, 20), 50));
        let periods: Vec<usize> = (0..300).map(|n| varied_period(4, n, 128)).collect();
        assert!(periods.iter().all(|p| (16..=64).contains(p)));
        let kinds: std::collections::HashSet<&usize> = periods.iter().collect();
        assert!(kinds.len() > 45, "{}", kinds.len());
        assert_eq!((varied_period(0, 0, 2), varied_period(0, 0, 1)), (1, 1));
    }
}
