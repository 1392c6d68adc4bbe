//! The stand-in for the part of the engine that writes on: all that is asked for is there at once.

use super::*;
use crate::engine::types::{
    CacheUse, Chance, Choosing, ContinuationView, EndReason, GenerateCommand, GenerateRequest,
    GenerateUpdate, GenerateView, Outlook, Prompt, TextToken, TokenOrigin,
};

const WORDS: [&str; 12] =
    [" the", " sea", " was", " grey", ",", " and", " an", " old", " sailor", " said", " nothing", "."];

/// A text being written.
#[derive(Clone, Default)]
pub struct Writer {
    request: Option<GenerateRequest>,
    tokens: Vec<Vec<Arc<TextToken>>>,
    past: Vec<Vec<Vec<Arc<TextToken>>>>,
    future: Vec<Vec<Vec<Arc<TextToken>>>>,
    struck: u64,
}

fn word(id: u32) -> Token {
    let text = WORDS[id as usize % WORDS.len()];
    Token { id, display: text.replace(' ', "·"), bytes: text.as_bytes().to_vec(), span: (0, 0) }
}

impl Writer {
    /// Does what is asked and answers.
    pub fn obey(&mut self, command: GenerateCommand) -> Option<GenerateUpdate> {
        let now = self.tokens.clone();
        let long = self.tokens.first().map_or(0, Vec::len);
        match command {
            GenerateCommand::Start(request) => self.start(*request),
            GenerateCommand::Step => self.write(1),
            GenerateCommand::Run => {
                self.write(self.request.as_ref().map_or(0, |r| r.settings.tokens.min(40)));
            }
            GenerateCommand::Take { continuation, at, id } => {
                self.cut(continuation, at);
                if let Some(tokens) = self.tokens.get_mut(continuation) {
                    let written = Some(choosing(at, continuation, 0, id));
                    tokens.push(Arc::new(TextToken { token: word(id), origin: TokenOrigin::Taken, written }));
                }
                self.write_to(long);
            }
            GenerateCommand::Strike { continuation, at } => {
                self.struck += 1;
                self.cut(continuation, at);
                self.write_to(long);
            }
            GenerateCommand::Say(text) => {
                for all in &mut self.tokens {
                    let said =
                        |token| Arc::new(TextToken { token, origin: TokenOrigin::Said, written: None });
                    all.extend(tokens(&text).into_iter().map(said));
                }
                self.write(6);
            }
            GenerateCommand::Undo | GenerateCommand::Redo => {
                let back = command == GenerateCommand::Undo;
                let (from, to) = if back {
                    (&mut self.past, &mut self.future)
                } else {
                    (&mut self.future, &mut self.past)
                };
                if let Some(there) = from.pop() {
                    to.push(std::mem::replace(&mut self.tokens, there));
                }
                return self.state();
            }
            GenerateCommand::Mask(mask) => {
                let sides = if mask.is_some() { 2 } else { 1 };
                let first = self.tokens.first().cloned().unwrap_or_default();
                self.tokens.resize(sides, first);
            }
            GenerateCommand::Pause | GenerateCommand::Settings(_) => {}
        }
        if now != self.tokens && !now.is_empty() {
            self.past.push(now);
            self.future.clear();
        }
        self.state()
    }

    fn start(&mut self, request: GenerateRequest) {
        let given = match &request.prompt {
            Prompt::Text(text) => tokens(text),
            Prompt::Ids(_) | Prompt::Dialogue => Vec::new(),
        };
        let given: Vec<Arc<TextToken>> = given
            .into_iter()
            .map(|token| Arc::new(TextToken { token, origin: TokenOrigin::Prompt, written: None }))
            .collect();
        let sides = if request.mask.is_some() { 2 } else { 1 };
        *self = Writer { request: Some(request), tokens: vec![given; sides], ..Writer::default() };
    }

    fn cut(&mut self, continuation: usize, at: usize) {
        if let Some(tokens) = self.tokens.get_mut(continuation) {
            tokens.truncate(at);
        }
    }

    fn write(&mut self, n: usize) {
        let long = self.tokens.first().map_or(0, Vec::len);
        self.write_to(long + n);
    }

    fn write_to(&mut self, len: usize) {
        for (side, all) in self.tokens.iter_mut().enumerate() {
            while all.len() < len && !all.is_empty() {
                let at = all.len();
                // The two part after some tokens.
                let salt = if at > 36 { side as u64 } else { 0 } + self.struck;
                let id = (unit(at as u64, 50 + salt) * WORDS.len() as f64) as u32;
                let written = Some(choosing(at, side, salt, id));
                all.push(Arc::new(TextToken { token: word(id), origin: TokenOrigin::Written, written }));
            }
        }
    }

    fn state(&self) -> Option<GenerateUpdate> {
        let request = self.request.as_ref()?;
        let view = |(side, all): (usize, &Vec<Arc<TextToken>>)| ContinuationView {
            masked: side == 1,
            tokens: all.clone().into(),
            next: (!all.is_empty()).then(|| outlook(all.len(), side, self.struck)),
            end: (all.len() >= 256).then_some(EndReason::Full),
        };
        let parted = match &self.tokens[..] {
            [a, b] => a.iter().zip(b).position(|(a, b)| a.token.id != b.token.id),
            _ => None,
        };
        Some(GenerateUpdate::State(GenerateView {
            continuations: self.tokens.iter().enumerate().map(view).collect(),
            parted,
            writing: false,
            can_undo: !self.past.is_empty(),
            can_redo: !self.future.is_empty(),
            dialogue: (request.prompt == Prompt::Dialogue)
                .then(|| "turns joined by <|endoftext|>".to_owned()),
            note: request.mask.as_ref().map(|_| "evict in place of replace".to_owned()),
            millis: 2.1,
        }))
    }
}

fn choosing(at: usize, side: usize, salt: u64, id: u32) -> Choosing {
    let outlook = outlook(at, side, salt);
    let chosen = outlook.candidates.iter().find(|c| c.id == id).cloned();
    let (p, chance) = chosen.map_or((0.01, 0.0), |c| (c.p, c.chance));
    Choosing { outlook, p, chance }
}

fn outlook(at: usize, side: usize, salt: u64) -> Arc<Outlook> {
    let mut p = 0.4;
    let candidates: Vec<Chance> = (0..10u64)
        .map(|k| {
            let id =
                ((unit(at as u64, 50 + salt) * WORDS.len() as f64) as u64 + k) as u32 % WORDS.len() as u32;
            p *= 0.6;
            let chance = if k < 7 { p * 1.3 } else { 0.0 };
            Chance { id, display: word(id).display, p, chance }
        })
        .collect();
    let hidden: Vec<usize> = (1..at.saturating_sub(6)).filter(|&i| side == 1 && i % 3 == 1).collect();
    let mut read: Vec<f32> = (0..at)
        .map(|i| if hidden.contains(&i) { 0.0 } else { unit(i as u64, at as u64).powi(4) as f32 + 0.01 })
        .collect();
    let sum: f32 = read.iter().sum();
    read.iter_mut().for_each(|w| *w /= sum);
    let by_head: Vec<f32> = (0..16).flat_map(|_| read.clone()).collect();
    let token = 6144;
    Arc::new(Outlook {
        position: at,
        candidates: candidates.into(),
        read: read.into(),
        by_head: Some(by_head.into()),
        work: Work { computed: 4, reused: 4 * at.saturating_sub(1), saved: 0 },
        cache: CacheUse {
            seen: at,
            readable: at - hidden.len(),
            read_share: (at - hidden.len()) as f64 / at.max(1) as f64,
            bytes: ((at - hidden.len()) * token) as u64,
            evicted_bytes: (hidden.len() * token) as u64,
            reencoded: 0,
        },
        hidden: hidden.into(),
    })
}
