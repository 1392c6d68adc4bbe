//! The state of the Generate screen: what was written, and where one looks. Pure.

use std::sync::Arc;

use crate::engine::types::{
    ContinuationView, EndReason, GenerateRequest, GenerateSettings, GenerateView, HeadChoice, Outlook,
    TextToken,
};
use crate::screen::params::Path;

/// What the screen knows and shows of the text that is being written.
#[derive(Clone, Debug)]
pub struct GenerateState {
    pub view: Option<Arc<GenerateView>>,
    /// What the engine was asked for last; `None` before anything was.
    pub told: Option<GenerateRequest>,
    /// What went wrong, and what to do about it.
    pub failure: Option<(String, Option<String>)>,
    /// Whether the mask's continuation stands beside the one without.
    pub compare: bool,
    /// The continuation that is looked at.
    pub side: usize,
    /// The place under the cursor; `None` follows what is written.
    pub at: Option<usize>,
    /// The candidate under the cursor.
    pub candidate: usize,
    /// Whose attention is shown.
    pub heads: HeadChoice,
    /// The setting under the cursor, and the first one on screen.
    pub field: Path,
    pub field_top: usize,
    /// First row of each continuation on screen.
    pub tops: [usize; 2],
    /// The turn being typed.
    pub turn: String,
}

impl Default for GenerateState {
    fn default() -> Self {
        GenerateState {
            view: None,
            told: None,
            failure: None,
            compare: true,
            side: 0,
            at: None,
            candidate: 0,
            heads: HeadChoice::default(),
            field: GenerateSettings::temperature,
            field_top: 0,
            tops: [0, 0],
            turn: String::new(),
        }
    }
}

impl GenerateState {
    /// The continuations, the one without the mask first.
    pub fn continuations(&self) -> &[ContinuationView] {
        self.view.as_ref().map_or(&[], |view| &view.continuations)
    }

    /// The one that is looked at.
    pub fn current(&self) -> Option<&ContinuationView> {
        self.continuations().get(self.side)
    }

    /// Its tokens.
    pub fn tokens(&self) -> &[Arc<TextToken>] {
        self.current().map_or(&[], |c| &c.tokens)
    }

    /// The place under the cursor; the number of tokens is that of the token to come.
    pub fn place(&self) -> usize {
        let len = self.tokens().len();
        self.at.map_or(len, |at| at.min(len))
    }

    /// What was known when the token under the cursor was written, or is known of the next one.
    pub fn outlook(&self) -> Option<&Arc<Outlook>> {
        self.outlook_at(self.place())
    }

    /// The same at a place; while the next token is not known yet, what was known of the last.
    fn outlook_at(&self, place: usize) -> Option<&Arc<Outlook>> {
        let of = |t: &'_ Arc<TextToken>| t.written.is_some();
        match self.tokens().get(place) {
            Some(token) => token.written.as_ref().map(|w| &w.outlook),
            None => self.current()?.next.as_ref().or_else(|| {
                let last = self.tokens().last().filter(|t| of(t))?;
                last.written.as_ref().map(|w| &w.outlook)
            }),
        }
    }

    /// The token under the cursor, where one stands there.
    pub fn token(&self) -> Option<&Arc<TextToken>> {
        self.tokens().get(self.place())
    }

    pub fn writing(&self) -> bool {
        self.view.as_ref().is_some_and(|view| view.writing)
    }

    /// A dialogue is on.
    pub fn talks(&self) -> bool {
        self.view.as_ref().is_some_and(|view| view.dialogue.is_some())
    }

    /// Tokens that were written, of the continuation that is looked at.
    pub fn written(&self) -> usize {
        self.tokens().iter().filter(|t| t.written.is_some()).count()
    }

    /// Why it ends.
    pub fn end(&self) -> Option<EndReason> {
        self.current().and_then(|c| c.end)
    }

    /// Another text: what was looked at is gone.
    pub fn begin(&mut self, told: GenerateRequest) {
        let GenerateState { compare, heads, field, field_top, turn, .. } = std::mem::take(self);
        *self = GenerateState {
            compare,
            heads,
            field,
            field_top,
            turn,
            told: Some(told),
            ..GenerateState::default()
        };
    }
}
