//! The leak meter at work: the policy on screen decides over windows of held-out text, one a step, and a probe then tries
//! to read the next token off the mask.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crossbeam_channel::Sender;

use super::explorer::{ExploreError, Explorer, MaskChoice, MaskPolicy};
use super::loaded::{HELD_OUT_TEXT, LoadedModel};
use super::types::{ExploreRequest, LeakReport, Update};
use crate::eval::leak::{MaskedSequence, REACH, bits_of, leak};
use crate::eval::stats::Bootstrap;
use crate::mask::types::{MaskSettings, Scope};
use crate::model::ModelError;
use crate::train::data::documents_of;

/// Windows of held-out text that the screen's meter reads.
pub const WINDOWS: usize = 48;
/// Their length in tokens, where the model's context allows it.
pub const WINDOW: usize = 128;

/// What a query at each position meets of the mask among the sixteen newest positions.
pub fn mask_bits(choice: &MaskChoice, scope: Scope) -> Vec<u16> {
    let n = choice.decision.positions.len();
    match scope {
        Scope::Whole => {
            let mut mask = vec![false; n];
            choice.decision.masked().into_iter().for_each(|i| mask[i] = true);
            bits_of(&mask)
        }
        Scope::Block => {
            let seen = |t: usize, i: usize| choice.plan.input.visibility.visible(n, t, i);
            let bit = |t: usize, k: usize| u16::from(t.checked_sub(k).is_some_and(|i| !seen(t, i))) << k;
            (0..n).map(|t| (0..REACH).fold(0, |bits, k| bits | bit(t, k))).collect()
        }
    }
}

/// Reads a policy's masks over held-out text.
pub struct LeakMeter {
    generation: u64,
    request: ExploreRequest,
    /// Apart from the one on screen, whose runs must not be lost.
    explorer: Explorer,
    windows: Vec<Vec<u32>>,
    masks: Vec<Vec<u16>>,
}

impl LeakMeter {
    /// # Errors
    /// A checkpoint without a tokenizer: there is nothing to read the held-out text with.
    pub fn new(
        generation: u64,
        request: ExploreRequest,
        loaded: Arc<LoadedModel>,
    ) -> Result<Self, ExploreError> {
        let windows = held_out(&loaded, &documents_of(HELD_OUT_TEXT), WINDOW, WINDOWS)?.windows;
        Ok(LeakMeter { generation, request, explorer: Explorer::new(loaded), windows, masks: Vec::new() })
    }

    pub fn progress(&self) -> (usize, usize) {
        (self.masks.len(), self.windows.len())
    }

    /// One more window. Every window draws for itself.
    pub fn step(&mut self, cancel: Option<&AtomicBool>) -> Result<Update, ExploreError> {
        let n = self.masks.len();
        if let Some(ids) = self.windows.get(n) {
            self.explorer.set_ids(ids)?;
            let seed = self.request.mask.seed.wrapping_add(n as u64);
            let mask = MaskSettings { seed, pinned: Vec::new(), ..self.request.mask.clone() };
            let policy = MaskPolicy { mask: &mask, ..self.request.policy() };
            let choice = self.explorer.choose(policy, cancel)?;
            self.masks.push(mask_bits(&choice, mask.scope));
        }
        let (done, of) = self.progress();
        Ok(Update::Leak { generation: self.generation, done: done.min(of - 1), of, report: None })
    }

    /// Fits the probe on its own thread, which reports and ends.
    pub fn finish(self, updates: Sender<Update>) {
        let work = move || {
            let of = self.windows.len();
            let report = measure(&self.windows, &self.masks);
            // Nobody listens once the screen is closing.
            let _ = updates.send(Update::Leak { generation: self.generation, done: of, of, report });
        };
        if let Err(error) = std::thread::Builder::new().name("leak".to_owned()).spawn(work) {
            tracing::warn!("the thread of the leak meter could not be started: {error}");
        }
    }
}

/// The leak of masks over windows; `None` for too little text.
pub fn measure(windows: &[Vec<u32>], masks: &[Vec<u16>]) -> Option<LeakReport> {
    let sequences: Vec<MaskedSequence> =
        windows.iter().zip(masks).map(|(ids, bits)| MaskedSequence { bits, ids }).collect();
    let found = leak(&sequences, &Bootstrap::default())?;
    let (bits, low, high) = (found.bits.value, found.bits.low, found.bits.high);
    Some(LeakReport { bits, low, high, tokens: found.tokens })
}

/// Windows of held-out text.
#[derive(Clone, Debug)]
pub struct HeldOut {
    pub windows: Vec<Vec<u32>>,
    /// Tokens of each.
    pub length: usize,
    /// Documents that are shorter than a window, and all.
    pub short: usize,
    pub documents: usize,
}

impl HeldOut {
    /// What was left out, in a sentence.
    pub fn note(&self) -> Option<String> {
        let (short, all, length) = (self.short, self.documents, self.length);
        (short > 0).then(|| {
            format!(
                "{short} of {all} documents are shorter than one window of {length} tokens and were left out"
            )
        })
    }
}

/// Up to `count` windows of `length` tokens (less where the context is shorter), spread evenly over the documents; no window
/// crosses from one into the next.
///
/// # Errors
/// A model without a tokenizer, or a text with no whole window in it.
pub fn held_out(
    loaded: &LoadedModel,
    documents: &[String],
    length: usize,
    count: usize,
) -> Result<HeldOut, ExploreError> {
    let Some(tokenizer) = &loaded.tokenizer else {
        let error = ModelError::input("this checkpoint has no tokenizer, so held-out text cannot be read");
        return Err(error.with_hint("put tokenizer.json beside the weights").into());
    };
    let length = length.min(loaded.model.config.n_positions);
    let (mut all, mut short) = (Vec::new(), 0);
    for document in documents {
        let ids = tokenizer.ids(document)?;
        loaded.check_rows(&ids)?;
        short += usize::from(ids.len() < length);
        all.extend(ids.chunks_exact(length).map(<[u32]>::to_vec));
    }
    if all.is_empty() {
        let what = if documents.len() == 1 { "the text is" } else { "every document is" };
        let error = ModelError::input(format!("{what} shorter than one window of {length} tokens"));
        return Err(error.with_hint("name a longer text").into());
    }
    let n = all.len();
    let take = count.clamp(1, n);
    let wanted: Vec<usize> = (0..take).map(|k| k * n / take).collect();
    let picked = all.into_iter().enumerate().filter(|(i, _)| wanted.binary_search(i).is_ok());
    let windows = picked.map(|(_, window)| window).collect();
    Ok(HeldOut { windows, length, short, documents: documents.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::loader::{LoadOptions, Purpose, load};
    use crate::hub::HubOptions;
    use crate::mask::rolling::RollingSettings;
    use crate::model::WeightType;

    fn demo() -> Arc<LoadedModel> {
        let options = LoadOptions {
            hub: HubOptions::default(),
            device: candle_core::Device::Cpu,
            device_name: "cpu",
            purpose: Purpose::Explore(WeightType::F32),
        };
        Arc::new(load("demo", &options, &mut |_| {}, &AtomicBool::new(false)).unwrap())
    }

    #[test]
    fn windows_are_spread_over_the_text_and_stay_inside_documents() {
        let loaded = demo();
        let windows = held_out(&loaded, &documents_of(HELD_OUT_TEXT), 64, 20).unwrap().windows;
        assert_eq!(windows.len(), 20);
        assert!(windows.iter().all(|w| w.len() == 64));
        let whole = held_out(&loaded, &documents_of(HELD_OUT_TEXT), 1 << 20, 3).unwrap().windows;
        assert_eq!(whole[0].len(), loaded.model.config.n_positions);
        assert!(held_out(&loaded, &["short".to_owned()], 64, 3).is_err());
    }

    #[test]
    fn a_block_mask_says_nothing_of_what_it_could_not_know() {
        let mut explorer = Explorer::new(demo());
        let ids = held_out(&explorer.loaded, &documents_of(HELD_OUT_TEXT), 96, 1).unwrap().windows.remove(0);
        explorer.set_ids(&ids).unwrap();
        let mask = MaskSettings {
            scope: Scope::Block,
            op: crate::mask::types::Op::Hide,
            probability: 1.0,
            ..MaskSettings::default()
        };
        let rolling = RollingSettings { window: 32, stride: 16, recent: 8, ..RollingSettings::default() };
        let score = crate::attention::types::ScoreSettings::default();
        let choice =
            explorer.choose(MaskPolicy { mask: &mask, score: &score, rolling: &rolling }, None).unwrap();
        let bits = mask_bits(&choice, Scope::Block);
        assert!(bits[..32].iter().all(|b| *b == 0), "before the first boundary nothing is hidden");
        assert!(bits[32..].iter().any(|b| *b != 0));
        assert!(bits.iter().all(|b| b & 1 == 0), "a query always sees itself");
    }
}
