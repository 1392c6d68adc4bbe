//! One continuation of a text: its tokens, where each comes from, and what is known of the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::cache::DecodeCache;
use super::sampling::NextToken;
use crate::engine::explorer::ExploreError;
use crate::engine::loaded::LoadedModel;
use crate::engine::types::{
    Choosing, ContinuationView, EndReason, GenerateMask, GenerateSettings, Outlook, TextToken, Token,
    TokenOrigin,
};
use crate::model::ModelError;

/// Attention of all heads is kept for the newest tokens up to this many bytes; for older ones only its mean.
const HEADS_KEPT: usize = 48 << 20;

/// The edits that a person made, by place in the text, and the text after them. Cheap to keep.
#[derive(Clone, Default)]
pub struct Script {
    tokens: Vec<Arc<TextToken>>,
    /// Tokens that were taken or struck out.
    taken: BTreeMap<usize, u32>,
    barred: BTreeMap<usize, BTreeSet<u32>>,
    next: Option<Known>,
    end: Option<EndReason>,
}

impl Script {
    /// Whether both have the same tokens, and the same was done by hand.
    pub fn same(&self, other: &Script) -> bool {
        let ids = |script: &Script| script.tokens.iter().map(|t| t.token.id).collect::<Vec<_>>();
        ids(self) == ids(other) && self.taken == other.taken && self.barred == other.barred
    }
}

/// What is known of the next token. The outlook is what a person sees, the rest is drawn from.
#[derive(Clone)]
struct Known {
    outlook: Arc<Outlook>,
    logits: Arc<Vec<f32>>,
}

/// How the next token is drawn.
#[derive(Clone, Copy)]
pub struct Drawing<'a> {
    pub settings: &'a GenerateSettings,
    /// Candidates that are listed.
    pub top: usize,
    pub cancel: Option<&'a AtomicBool>,
}

/// One continuation.
pub struct Continuation {
    loaded: Arc<LoadedModel>,
    pub masked: bool,
    cache: DecodeCache,
    /// The same cache with nothing in it, and as it was after the given text.
    empty: DecodeCache,
    given: Option<DecodeCache>,
    script: Script,
}

impl Continuation {
    /// Nothing is read yet.
    ///
    /// # Errors
    /// A mask that cannot decide block by block on this model.
    pub fn new(
        loaded: Arc<LoadedModel>,
        mask: Option<&GenerateMask>,
        settings: &GenerateSettings,
    ) -> Result<Self, ExploreError> {
        let empty = DecodeCache::new(loaded.clone(), mask, settings.when_full)?;
        Ok(Continuation {
            loaded,
            masked: mask.is_some(),
            cache: empty.clone(),
            empty,
            given: None,
            script: Script::default(),
        })
    }

    pub fn ids(&self) -> Vec<u32> {
        self.script.tokens.iter().map(|t| t.token.id).collect()
    }

    pub fn tokens(&self) -> &[Arc<TextToken>] {
        &self.script.tokens
    }

    /// Tokens written after what was given last.
    pub fn fresh(&self) -> usize {
        self.script.tokens.iter().rev().take_while(|t| t.written.is_some()).count()
    }

    /// Takes over the first `len` tokens of another continuation.
    pub fn follow(&mut self, other: &Continuation, len: usize) {
        self.script = Script { tokens: other.tokens()[..len].to_vec(), ..Script::default() };
    }

    pub fn end(&self) -> Option<EndReason> {
        self.script.end
    }

    /// Whether what comes next is known for the tokens there are.
    pub fn is_read(&self) -> bool {
        self.script.next.is_some()
    }

    /// Adds tokens that nobody wrote.
    pub fn give(&mut self, tokens: impl IntoIterator<Item = Token>, origin: TokenOrigin) {
        let given = |token| Arc::new(TextToken { token, origin, written: None });
        self.script.tokens.extend(tokens.into_iter().map(given));
        (self.script.next, self.script.end, self.given) = (None, None, None);
    }

    /// Reads what was not read yet, and forms the outlook on the next token.
    ///
    /// # Errors
    /// Of the model; a text that does not fit its context. What was read stays read.
    pub fn look(&mut self, how: Drawing) -> Result<(), ExploreError> {
        if self.script.next.is_some() {
            return Ok(());
        }
        let ids = self.ids();
        self.cache.read(&ids, how.cancel)?;
        if self.given.is_none() && self.script.tokens.iter().all(|t| t.written.is_none()) {
            self.given = Some(self.cache.clone());
        }
        let logits = Arc::new(self.cache.logits()?);
        if logits.iter().any(|x| !x.is_finite()) {
            return Err(ModelError::input("the model's logits are not all numbers")
                .with_hint("its weights are damaged, or too large for this format")
                .into());
        }
        let by_head: Arc<[f32]> = self.cache.read_by_last().into();
        let outlook = Outlook {
            position: ids.len(),
            candidates: self
                .next_token(&logits, how.settings)?
                .candidates(how.top, self.loaded.tokenizer.as_ref())
                .into(),
            read: mean_of(&by_head, ids.len()).into(),
            by_head: Some(by_head),
            hidden: self.cache.hidden().into(),
            work: self.cache.work(),
            cache: self.cache.usage(),
        };
        self.script.next = Some(Known { outlook: Arc::new(outlook), logits });
        Ok(())
    }

    fn next_token(&self, logits: &[f32], settings: &GenerateSettings) -> Result<NextToken, ExploreError> {
        let barred: Vec<u32> =
            self.script.barred.get(&self.script.tokens.len()).into_iter().flatten().copied().collect();
        Ok(NextToken::new(logits, settings, &self.ids(), &barred)?)
    }

    /// The candidates again, for other settings or after a token was struck out.
    ///
    /// # Errors
    /// As [`Continuation::look`].
    pub fn look_again(&mut self, how: Drawing) -> Result<(), ExploreError> {
        let Some(known) = self.script.next.clone() else { return Ok(()) };
        let next = self.next_token(&known.logits, how.settings)?;
        let candidates = next.candidates(how.top, self.loaded.tokenizer.as_ref()).into();
        let outlook = Arc::new(Outlook { candidates, ..(*known.outlook).clone() });
        self.script.next = Some(Known { outlook, ..known });
        Ok(())
    }

    /// Writes one token: the one taken by hand for this place, or one drawn. Says whether it did; not where writing has
    /// ended.
    ///
    /// # Errors
    /// As [`Continuation::look`].
    pub fn write(&mut self, how: Drawing) -> Result<bool, ExploreError> {
        if self.script.end.is_some() {
            return Ok(false);
        }
        self.look(how)?;
        let Some(known) = self.script.next.clone() else { return Ok(false) };
        if self.cache.is_full() {
            self.script.end = Some(EndReason::Full);
            return Ok(false);
        }
        let at = self.script.tokens.len();
        let next = self.next_token(&known.logits, how.settings)?;
        let taken = self.script.taken.get(&at).copied();
        let id = taken.map_or_else(|| next.draw(how.settings.seed, at), Ok)?;
        let (p, chance) = next.of(id);
        let written = Some(Choosing { outlook: known.outlook, p, chance });
        let origin = if taken.is_some() { TokenOrigin::Taken } else { TokenOrigin::Written };
        self.script.tokens.push(Arc::new(TextToken { token: self.loaded.token(id), origin, written }));
        self.script.next = None;
        if self.loaded.is_end(id) {
            self.script.end = Some(EndReason::EndOfText);
        }
        self.thin_out();
        Ok(true)
    }

    /// Keeps attention by head of the newest tokens only.
    fn thin_out(&mut self) {
        let mut bytes = 0;
        for token in self.script.tokens.iter_mut().rev() {
            let Some(heads) = token.written.as_ref().and_then(|w| w.outlook.by_head.as_ref()) else {
                continue;
            };
            bytes += 4 * heads.len();
            if bytes > HEADS_KEPT {
                let mut thin = (**token).clone();
                if let Some(written) = &mut thin.written {
                    written.outlook = Arc::new(Outlook { by_head: None, ..(*written.outlook).clone() });
                }
                *token = Arc::new(thin);
            }
        }
    }

    /// Forgets the tokens from `at` on, and what was done by hand after it.
    fn cut(&mut self, at: usize) {
        let script = &mut self.script;
        script.tokens.truncate(at);
        script.taken.retain(|place, _| *place <= at);
        script.barred.retain(|place, _| *place <= at);
        (script.next, script.end) = (None, None);
        self.restart(at);
    }

    /// Brings the cache to where the tokens can be read on.
    fn restart(&mut self, len: usize) {
        if !self.cache.rewind(len) && self.cache.seen() > 0 {
            let given = self.given.as_ref().filter(|given| given.seen() <= len);
            self.cache = given.unwrap_or(&self.empty).clone();
        }
    }

    /// Takes this token at a place that was written, or is next; what followed is forgotten.
    pub fn take(&mut self, at: usize, id: u32) {
        self.cut(at);
        self.script.taken.insert(at, id);
        self.script.barred.remove(&at);
    }

    /// Strikes out the token at a place. One that was written is not drawn there again; one that was given goes, and
    /// the rest of what was given closes up. What was written after it is forgotten.
    pub fn strike(&mut self, at: usize) {
        let Some(token) = self.script.tokens.get(at).cloned() else { return };
        if token.written.is_some() {
            self.cut(at);
            self.script.taken.remove(&at);
            self.script.barred.entry(at).or_default().insert(token.token.id);
            return;
        }
        let kept: Vec<Arc<TextToken>> =
            self.script.tokens[at + 1..].iter().take_while(|t| t.written.is_none()).cloned().collect();
        self.cut(at);
        self.script.taken.clear();
        self.script.barred.clear();
        self.script.tokens.extend(kept);
        self.given = None;
    }

    /// What undo brings back.
    pub fn script(&self) -> Script {
        self.script.clone()
    }

    /// Brings a script back.
    pub fn restore(&mut self, script: Script) {
        let shared = self
            .script
            .tokens
            .iter()
            .zip(&script.tokens)
            .take_while(|(a, b)| a.token.id == b.token.id)
            .count();
        self.script = script;
        self.given = self.given.take().filter(|given| given.seen() <= shared);
        if shared < self.cache.seen() {
            self.restart(shared.min(self.script.tokens.len()));
        }
    }

    /// Replaces the whole text by tokens that nobody wrote.
    pub fn begin_again(&mut self, tokens: impl IntoIterator<Item = Token>, origin: TokenOrigin) {
        self.script = Script::default();
        self.cache = self.empty.clone();
        self.give(tokens, origin);
    }

    pub fn view(&self) -> ContinuationView {
        ContinuationView {
            masked: self.masked,
            tokens: self.script.tokens.clone().into(),
            next: self.script.next.as_ref().map(|known| known.outlook.clone()),
            end: self.script.end,
        }
    }
}

/// Mean over all heads of `[heads, len]`.
fn mean_of(by_head: &[f32], len: usize) -> Vec<f32> {
    let heads = (by_head.len() / len.max(1)).max(1);
    let mut out = vec![0f64; len];
    for row in by_head.chunks_exact(len.max(1)) {
        out.iter_mut().zip(row).for_each(|(sum, &w)| *sum += f64::from(w));
    }
    out.into_iter().map(|sum| (sum / heads as f64) as f32).collect()
}
