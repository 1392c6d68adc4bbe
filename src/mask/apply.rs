//! From a decision to the input of a forward pass, and back: which row is which token, what the masked text reads.

use std::sync::Arc;

use super::draw::{Draws, Stream};
use super::initial::Unigram;
use super::types::{Decision, DropPositions, MaskSettings, Op, Replacement, State};
use crate::model::input::{Input, Visibility};

/// What replacements need from a model; asked only for what the decision uses.
pub trait ReplacementSource {
    fn n_vocab(&self) -> usize;
    fn eot(&self) -> Option<u32>;
    /// Mean of all token embeddings, `[n_embd]`.
    fn mean_embedding(&self) -> Arc<[f32]>;
    /// The trained `[MASK]` row, `[n_embd]`.
    fn mask_row(&self) -> Option<Arc<[f32]>>;
    fn unigram(&self) -> Option<&Unigram>;
}

/// Why a decision cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    #[error("the decision is for {decided} tokens, but the text has {tokens}")]
    Length { decided: usize, tokens: usize },
    #[error("this model has no trained [MASK] row")]
    NoMaskRow,
    #[error("this model has no token counts to sample from")]
    NoUnigram,
    #[error("this model has no end-of-text token")]
    NoEndOfText,
    #[error("every token would be dropped, so nothing is left to run")]
    NothingLeft,
}

impl ApplyError {
    pub fn hint(&self) -> Option<String> {
        match self {
            ApplyError::Length { .. } => None,
            ApplyError::NothingLeft => {
                Some("protect a token, raise τ, or hide instead of dropping".to_owned())
            }
            _ => Some("choose another replacement, such as mean".to_owned()),
        }
    }
}

/// What the masked run has at a position of the full text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The original token, perhaps hidden from later ones.
    Original(u32),
    /// The trained `[MASK]` vector.
    Mask,
    /// The mean of all token embeddings.
    Mean,
    /// Another token.
    Token(u32),
    /// Not in the input.
    Dropped,
}

/// A masked run: what to compute, and how its rows relate to the full text.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskedPass {
    pub input: Input,
    /// Original position of every row, ascending.
    pub kept: Vec<usize>,
    /// One per position of the full text.
    pub shown: Vec<Shown>,
    /// Positions hidden from later queries or evicted, ascending; their token is unchanged.
    pub hidden: Vec<usize>,
}

/// Turns a decision into an input. `keep` changes nothing, so a decision of nothing but `keep` gives the plain input.
///
/// `hide` hides a key from every later query. `evict` under scope `whole` empties the cache just before the last
/// query: keys and values were computed and read by all earlier queries, and the next token is predicted without
/// them. Rolling eviction is [`super::rolling`]'s.
pub fn apply(
    ids: &[u32],
    decision: &Decision,
    settings: &MaskSettings,
    draws: Draws,
    source: &dyn ReplacementSource,
) -> Result<MaskedPass, ApplyError> {
    let len = ids.len();
    if decision.positions.len() != len {
        return Err(ApplyError::Length { decided: decision.positions.len(), tokens: len });
    }
    let draws = Draws { seed: settings.seed, ..draws };
    let op_at = |i: usize| {
        let at = &decision.positions[i];
        at.op.filter(|_| at.state == State::Masked)
    };
    let kept: Vec<usize> = (0..len).filter(|&i| op_at(i) != Some(Op::Drop)).collect();
    if kept.is_empty() && len > 0 {
        return Err(ApplyError::NothingLeft);
    }
    let mut input = Input::plain(kept.iter().map(|&i| ids[i]).collect());
    if kept.len() < len && settings.drop_positions == DropPositions::Gap {
        input.position_ids = Some(kept.iter().map(|&i| i as u32).collect());
    }
    let mut shown = vec![Shown::Dropped; len];
    let mut hidden = Vec::new();
    let mut hide_from = vec![u32::MAX; kept.len()];
    for (row, &i) in kept.iter().enumerate() {
        shown[i] = Shown::Original(ids[i]);
        match op_at(i) {
            Some(Op::Replace) => {
                let how = decision.positions[i].replacement.unwrap_or(settings.replacement);
                match replacement(how, i, &draws, source)? {
                    With::Token(id) => {
                        input.ids[row] = id;
                        shown[i] = Shown::Token(id);
                    }
                    With::Vector(vector) => {
                        input.replaced.insert(row, vector);
                        shown[i] = if how == Replacement::Mean { Shown::Mean } else { Shown::Mask };
                    }
                }
            }
            Some(Op::Hide) => {
                hidden.push(i);
                hide_from[row] = 0;
            }
            Some(Op::Evict) => {
                hidden.push(i);
                hide_from[row] = kept.len() as u32 - 1;
            }
            Some(Op::Skip) => input.skipped.push(row),
            Some(Op::Keep | Op::Drop) | None => {}
        }
    }
    if !hidden.is_empty() {
        input.visibility = Visibility::HideFrom(hide_from);
    }
    Ok(MaskedPass { input, kept, shown, hidden })
}

enum With {
    Token(u32),
    Vector(Arc<[f32]>),
}

fn replacement(
    how: Replacement,
    position: usize,
    draws: &Draws,
    source: &dyn ReplacementSource,
) -> Result<With, ApplyError> {
    Ok(match how {
        Replacement::Mean => With::Vector(source.mean_embedding()),
        Replacement::Mask => With::Vector(source.mask_row().ok_or(ApplyError::NoMaskRow)?),
        Replacement::EndOfText => With::Token(source.eot().ok_or(ApplyError::NoEndOfText)?),
        Replacement::Unigram => {
            let unigram = source.unigram().ok_or(ApplyError::NoUnigram)?;
            With::Token(unigram.sample(draws.unit(Stream::Replacement, position)))
        }
        Replacement::Uniform => With::Token(uniform_token(position, draws, source)),
    })
}

/// Any token but the one that ends texts, which would cut the text in two.
fn uniform_token(position: usize, draws: &Draws, source: &dyn ReplacementSource) -> u32 {
    let n = source.n_vocab();
    match source.eot().filter(|&eot| (eot as usize) < n && n > 1) {
        Some(eot) => {
            let id = draws.below(Stream::Replacement, position, n - 1) as u32;
            id + u32::from(id >= eot)
        }
        None => draws.below(Stream::Replacement, position, n) as u32,
    }
}

impl MaskedPass {
    /// The ids of the masked run, row by row; `None` where a vector that is not a token stands.
    pub fn masked_ids(&self) -> Vec<Option<u32>> {
        let id = |shown: &Shown| match *shown {
            Shown::Original(id) | Shown::Token(id) => Some(Some(id)),
            Shown::Mask | Shown::Mean => Some(None),
            Shown::Dropped => None,
        };
        self.shown.iter().filter_map(id).collect()
    }

    /// The masked text: replaced tokens as `[MASK]`, `[mean]` or the replacing token, dropped ones omitted, hidden ones unchanged.
    ///
    /// `ids` are the original ids and `bytes` the exact bytes of a token; `[MASK]` keeps a leading space. Bytes that
    /// are no text become the replacement character.
    pub fn masked_text(&self, original: &dyn Fn(usize) -> Vec<u8>, bytes: &dyn Fn(u32) -> Vec<u8>) -> String {
        let mut out = Vec::new();
        for (i, shown) in self.shown.iter().enumerate() {
            match *shown {
                Shown::Original(_) => out.extend(original(i)),
                Shown::Token(id) => out.extend(bytes(id)),
                Shown::Mask | Shown::Mean => {
                    if original(i).first() == Some(&b' ') {
                        out.push(b' ');
                    }
                    out.extend(if *shown == Shown::Mask { b"[MASK]" } else { b"[mean]" });
                }
                Shown::Dropped => {}
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
