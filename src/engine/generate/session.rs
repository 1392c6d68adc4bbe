//! Both continuations of one text, with and without the mask, under common random numbers; the edits that a person made, and
//! its undo.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::continuation::{Continuation, Drawing, Script};
use super::dialogue::{Dialogue, Turn};
use crate::engine::explorer::ExploreError;
use crate::engine::loaded::LoadedModel;
use crate::engine::types::{
    GenerateMask, GenerateRequest, GenerateSettings, GenerateView, Prompt, Token, TokenOrigin,
};
use crate::mask::apply::ReplacementSource;
use crate::mask::types::{Op, Scope};
use crate::model::{Input, ModelError};

/// Steps of undo that are kept.
const DEPTH: usize = 100;

/// One state to come back to.
struct Past {
    scripts: Vec<Script>,
    dialogue: Option<Dialogue>,
}

impl Past {
    /// Whether both are the same text, written the same way.
    fn same(&self, other: &Past) -> bool {
        self.scripts.len() == other.scripts.len()
            && self.scripts.iter().zip(&other.scripts).all(|(a, b)| a.same(b))
    }
}

/// A text being written on.
pub struct WritingSession {
    pub loaded: Arc<LoadedModel>,
    settings: GenerateSettings,
    top: usize,
    continuations: Vec<Continuation>,
    dialogue: Option<Dialogue>,
    /// Tokens that every continuation is to have after what was given last; `None` while it rests.
    goal: Option<usize>,
    past: Vec<Past>,
    future: Vec<Past>,
    note: Option<String>,
    millis: f32,
    /// The last piece of work went wrong.
    failed: bool,
}

impl WritingSession {
    /// Takes a text to write on from. Nothing is read yet.
    ///
    /// # Errors
    /// A text that cannot be read or leaves no room in the context, a mask that cannot decide block by block.
    pub fn start(loaded: Arc<LoadedModel>, request: &GenerateRequest) -> Result<Self, ExploreError> {
        let (mask, note) = match &request.mask {
            Some(mask) => {
                let (mask, note) = while_writing(mask);
                (Some(mask), note)
            }
            None => (None, None),
        };
        let dialogue = match request.prompt {
            Prompt::Dialogue => Some(Dialogue::new(&loaded)?),
            Prompt::Text(_) | Prompt::Ids(_) => None,
        };
        let prompt = prompt(&loaded, &request.prompt)?;
        let mut continuations = vec![Continuation::new(loaded.clone(), None, &request.settings)?];
        if mask.is_some() {
            continuations.push(Continuation::new(loaded.clone(), mask.as_ref(), &request.settings)?);
        }
        for continuation in &mut continuations {
            continuation.give(prompt.iter().cloned(), TokenOrigin::Prompt);
        }
        Ok(WritingSession {
            loaded,
            settings: request.settings.clone(),
            top: request.top,
            continuations,
            dialogue,
            goal: None,
            past: Vec::new(),
            future: Vec::new(),
            note,
            millis: 0.0,
            failed: false,
        })
    }

    pub fn continuations(&self) -> &[Continuation] {
        &self.continuations
    }

    pub fn is_dialogue(&self) -> bool {
        self.dialogue.is_some()
    }

    /// Whether there is something to do: a text to be read, or tokens to be written.
    pub fn busy(&self) -> bool {
        let unread = |c: &Continuation| !c.is_read() && !c.tokens().is_empty() && c.end().is_none();
        !self.failed && (self.goal.is_some() || self.continuations.iter().any(unread))
    }

    /// Does one piece of work: reads what was not read, or writes a token.
    ///
    /// # Errors
    /// Of the model. Cancelled work is done by the next call.
    pub fn work(&mut self, cancel: Option<&AtomicBool>) -> Result<(), ExploreError> {
        let Some(goal) = self.goal else { return self.look(cancel) };
        if !self.write_to(goal, cancel)? {
            self.goal = None;
        }
        Ok(())
    }

    /// Reads what was not read yet.
    ///
    /// # Errors
    /// Of the model; a text that does not fit its context.
    pub fn look(&mut self, cancel: Option<&AtomicBool>) -> Result<(), ExploreError> {
        let how = Drawing { settings: &self.settings, top: self.top, cancel };
        let read = |c: &&mut Continuation| !c.tokens().is_empty() && c.end().is_none();
        self.continuations.iter_mut().filter(read).try_for_each(|c| c.look(how))
    }

    /// Writes one token of every continuation that has not ended; says whether any did.
    ///
    /// # Errors
    /// As [`WritingSession::look`].
    pub fn step(&mut self, cancel: Option<&AtomicBool>) -> Result<bool, ExploreError> {
        self.write_to(usize::MAX, cancel)
    }

    /// Writes one token of those continuations that are behind, until all have as many as `goal` or have ended; says
    /// whether any did.
    fn write_to(&mut self, goal: usize, cancel: Option<&AtomicBool>) -> Result<bool, ExploreError> {
        let open = |c: &Continuation| c.end().is_none() && !c.tokens().is_empty() && c.fresh() < goal;
        let Some(least) = self.continuations.iter().filter(|c| open(c)).map(Continuation::fresh).min() else {
            return Ok(false);
        };
        let started = Instant::now();
        let how = Drawing { settings: &self.settings, top: self.top, cancel };
        let behind = |c: &&mut Continuation| open(c) && c.fresh() == least;
        // All are read before any is written, so that a cancelled call writes none.
        self.continuations.iter_mut().filter(behind).try_for_each(|c| c.look(how))?;
        let mut any = false;
        for continuation in self.continuations.iter_mut().filter(behind) {
            any |= continuation.write(how)?;
        }
        self.millis = started.elapsed().as_secs_f32() * 1e3;
        // One that ended for want of room wrote nothing; another may go on.
        Ok(any || self.continuations.iter().any(open))
    }

    /// Writes one token of one continuation; says whether it did.
    ///
    /// # Errors
    /// As [`WritingSession::look`].
    pub fn write(&mut self, continuation: usize, cancel: Option<&AtomicBool>) -> Result<bool, ExploreError> {
        let how = Drawing { settings: &self.settings, top: self.top, cancel };
        self.continuations.get_mut(continuation).map_or(Ok(false), |c| c.write(how))
    }

    /// Lets `tokens` be written by [`WritingSession::work`]; `None` writes as many as the settings say.
    pub fn run(&mut self, tokens: Option<usize>) {
        self.remember();
        self.goal = Some(self.fresh() + tokens.unwrap_or(self.settings.tokens));
    }

    /// Tokens written after what was given last, by the continuation that has most.
    fn fresh(&self) -> usize {
        self.continuations.iter().map(Continuation::fresh).max().unwrap_or(0)
    }

    /// Writes the masked continuation again under another mask, or takes it away.
    ///
    /// # Errors
    /// A mask that cannot decide block by block on this model.
    pub fn mask(&mut self, mask: Option<&GenerateMask>) -> Result<(), ExploreError> {
        let Some(asked) = mask else {
            self.continuations.truncate(1);
            self.note = None;
            return Ok(());
        };
        let (mask, note) = while_writing(asked);
        let mut fresh = Continuation::new(self.loaded.clone(), Some(&mask), &self.settings)?;
        let from = &self.continuations[self.continuations.len() - 1];
        // What was answered before in a dialogue stays; a text is written again from its beginning.
        let kept = if self.is_dialogue() { from.tokens().len() } else { from.tokens().len() - from.fresh() };
        fresh.follow(from, kept);
        let long = self.continuations[0].fresh();
        self.continuations.truncate(1);
        self.continuations.push(fresh);
        (self.note, self.failed) = (note, false);
        // The past had another mask.
        (self.past, self.future) = (Vec::new(), Vec::new());
        if long > 0 {
            self.goal = self.goal.max(Some(long));
        }
        Ok(())
    }

    /// Writes no more; says whether it was writing.
    pub fn pause(&mut self) -> bool {
        self.goal.take().is_some()
    }

    /// Stops after an error: nothing is tried again until something else is asked for.
    pub fn give_up(&mut self) {
        self.goal = None;
        self.failed = true;
    }

    /// Draws by other settings from the next token on.
    ///
    /// # Errors
    /// As [`WritingSession::look`].
    pub fn set(&mut self, settings: GenerateSettings) -> Result<(), ExploreError> {
        self.settings = settings;
        let how = Drawing { settings: &self.settings, top: self.top, cancel: None };
        self.continuations.iter_mut().try_for_each(|c| c.look_again(how))
    }

    /// The continuations that a change at `at` of one of them is about: it, and those that have the same tokens before
    /// that place.
    fn alike(&self, continuation: usize, at: usize) -> Vec<usize> {
        let Some(this) = self.continuations.get(continuation) else { return Vec::new() };
        let before = |c: &Continuation| c.ids().get(..at).map(<[u32]>::to_vec);
        let own = before(this);
        (0..self.continuations.len())
            .filter(|&i| i == continuation || before(&self.continuations[i]) == own)
            .collect()
    }

    /// Takes a token at a place that was written, or is next, and writes as many on as had followed.
    pub fn take(&mut self, continuation: usize, at: usize, id: u32) {
        let fits = |c: &Continuation| {
            at == c.tokens().len() || c.tokens().get(at).is_some_and(|t| t.written.is_some())
        };
        if !self.continuations.get(continuation).is_some_and(fits) || (id as usize) >= self.loaded.n_vocab() {
            return;
        }
        self.change(continuation, at, |c| {
            if fits(c) {
                c.take(at, id);
            }
        });
    }

    /// Strikes out a token and writes as many on as had followed.
    pub fn strike(&mut self, continuation: usize, at: usize) {
        let Some(c) = self.continuations.get(continuation).filter(|c| at < c.tokens().len()) else { return };
        // The last token that was given stays: there would be nothing to write on from.
        if c.tokens().iter().filter(|t| t.written.is_none()).count() < 2 && c.tokens()[at].written.is_none() {
            return;
        }
        let id = c.tokens()[at].token.id;
        self.change(continuation, at, |c| {
            if c.tokens().get(at).is_some_and(|t| t.token.id == id) {
                c.strike(at);
            }
        });
    }

    fn change(&mut self, continuation: usize, at: usize, change: impl Fn(&mut Continuation)) {
        let long = self.continuations[continuation].fresh();
        self.remember();
        for i in self.alike(continuation, at) {
            change(&mut self.continuations[i]);
        }
        // A token taken in the place of one that was said, or after the last, is one more.
        self.goal = Some(long.max(self.continuations[continuation].fresh() + 1));
    }

    /// A turn of the person; the model's answer is to be written.
    ///
    /// # Errors
    /// A session that is no dialogue, a template that refuses the turn.
    pub fn say(&mut self, text: &str) -> Result<(), ExploreError> {
        let Some(mut dialogue) = self.dialogue.clone() else {
            return Err(ModelError::input("this text is no dialogue").into());
        };
        dialogue.say(text);
        let turn = |c: &Continuation| dialogue.turn(&self.loaded, c.tokens());
        let turns: Vec<Turn> = self.continuations.iter().map(turn).collect::<Result<_, _>>()?;
        self.remember();
        for (continuation, turn) in self.continuations.iter_mut().zip(turns) {
            match turn {
                Turn::Follow(tokens) => continuation.give(tokens, TokenOrigin::Said),
                Turn::Anew(tokens) => continuation.begin_again(tokens, TokenOrigin::Said),
            }
        }
        self.dialogue = Some(dialogue);
        self.goal = Some(self.settings.tokens);
        Ok(())
    }

    fn now(&self) -> Past {
        Past {
            scripts: self.continuations.iter().map(Continuation::script).collect(),
            dialogue: self.dialogue.clone(),
        }
    }

    fn remember(&mut self) {
        self.failed = false;
        let now = self.now();
        // Pausing and going on writes one text: one step.
        if self.past.last().is_none_or(|last| !last.same(&now)) {
            self.past.push(now);
        }
        self.future.clear();
        if self.past.len() > DEPTH {
            self.past.remove(0);
        }
    }

    /// Back to before the last change, or forward again; says whether there was one. Writing stops.
    pub fn travel(&mut self, back: bool) -> bool {
        (self.goal, self.failed) = (None, false);
        let now = self.now();
        let (from, to) =
            if back { (&mut self.past, &mut self.future) } else { (&mut self.future, &mut self.past) };
        let Some(there) = from.pop() else { return false };
        to.push(now);
        for (continuation, script) in self.continuations.iter_mut().zip(there.scripts) {
            continuation.restore(script);
        }
        self.dialogue = there.dialogue;
        true
    }

    pub fn view(&self) -> GenerateView {
        GenerateView {
            continuations: self.continuations.iter().map(Continuation::view).collect(),
            parted: self.parted(),
            writing: self.goal.is_some(),
            can_undo: !self.past.is_empty(),
            can_redo: !self.future.is_empty(),
            dialogue: self.dialogue.as_ref().map(Dialogue::name),
            note: self.note.clone(),
            millis: self.millis,
        }
    }

    /// The first place at which the continuations differ.
    fn parted(&self) -> Option<usize> {
        let [plain, masked] = &self.continuations[..] else { return None };
        let (a, b) = (plain.ids(), masked.ids());
        let shared = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
        // One that is a token behind, or has ended for want of room, has not parted.
        (shared < a.len().min(b.len())).then_some(shared)
    }
}

/// The mask as it can act while text is written: block by block, and on tokens that were read already. Says what differs
/// from its settings.
fn while_writing(mask: &GenerateMask) -> (GenerateMask, Option<String>) {
    let mut out = mask.clone();
    out.mask.scope = Scope::Block;
    out.mask.pinned.clear();
    let fits = match &out.mask.mix {
        Some(mix) => mix.parts().iter().all(|p| p.op.works_in_blocks()),
        None => out.mask.op.works_in_blocks(),
    };
    if fits {
        return (out, None);
    }
    let asked = if out.mask.mix.is_some() { "this mix".to_owned() } else { out.mask.op.to_string() };
    (out.mask.op, out.mask.mix) = (Op::Evict, None);
    let note =
        format!("evict in place of {asked}: a token that was read can only be hidden, evicted or kept");
    (out, Some(note))
}

fn prompt(loaded: &LoadedModel, prompt: &Prompt) -> Result<Vec<Token>, ExploreError> {
    let mut tokens: Vec<Token> = match prompt {
        Prompt::Dialogue => return Ok(Vec::new()),
        Prompt::Ids(ids) => ids.iter().map(|&id| loaded.token(id)).collect(),
        Prompt::Text(text) => loaded.tokens_of(text)?,
    };
    if tokens.is_empty() {
        // As models are trained: a text begins after the token that ends the one before.
        let eot = loaded.eot().ok_or_else(|| {
            ModelError::input("an empty text needs a model with an end-of-text token to write on from")
        })?;
        tokens.push(loaded.token(eot));
    }
    let ids: Vec<u32> = tokens.iter().map(|t| t.id).collect();
    loaded.check_rows(&ids)?;
    let context = loaded.model.config.n_positions;
    if ids.len() >= context {
        let problem =
            format!("the text of {} tokens leaves no room in the model's context of {context}", ids.len());
        return Err(ModelError::input(problem).with_hint("shorten the text").into());
    }
    loaded.model.check(&Input::plain(ids))?;
    Ok(tokens)
}
