//! What the command says of what was written: as JSON, and in a few lines below the text.

use std::fmt::Write as _;

use serde::Serialize;

use super::super::tokens::TokenText;
use super::{Ended, Written};
use crate::engine::generate::{Continuation, WritingSession};
use crate::engine::types::{Chance, GenerateMask, GenerateRequest, GenerateSettings, TextToken, TokenOrigin};
use crate::mask::types::MaskSettings;
use crate::support::units;

/// Everything that was written.
#[derive(Serialize)]
pub struct GenerateOutput {
    model: String,
    settings: GenerateSettings,
    /// What decides the mask; left out without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    mask: Option<MaskReport>,
    /// One for a text, one for each turn of a dialogue.
    turns: Vec<TurnReport>,
    #[serde(skip)]
    attention: bool,
}

#[derive(Serialize)]
struct MaskReport {
    /// The operation asked for; see `note` where another one is in force.
    settings: MaskSettings,
    policy: String,
    note: Option<String>,
}

#[derive(Serialize)]
struct TurnReport {
    /// What was said; null where a text is written on.
    said: Option<String>,
    /// Ids of the whole text before what was written in this turn.
    ids: Vec<u32>,
    baseline: Option<ContinuationReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    masked: Option<ContinuationReport>,
    /// The first place in the text at which the two differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    parted: Option<usize>,
}

#[derive(Serialize)]
struct ContinuationReport {
    ids: Vec<u32>,
    text: String,
    /// Why it ends here: tokens, end of text, context full, cancelled.
    end: &'static str,
    /// Mean time of a token after the first, which reads the text; null for fewer than two.
    ms_per_token: Option<f64>,
    tokens: Vec<WrittenReport>,
}

#[derive(Serialize)]
struct WrittenReport {
    position: usize,
    id: u32,
    token: TokenText,
    /// The model's probability, and the one in the draw.
    p: f32,
    chance: f32,
    candidates: Vec<CandidateReport>,
    /// Rows computed for it and rows that were known, over all layers.
    computed: usize,
    reused: usize,
    cache: CacheReport,
    /// Attention of the token before it over the text; left out where nobody asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    attention: Option<Vec<f32>>,
}

#[derive(Serialize)]
struct CandidateReport {
    id: u32,
    token: TokenText,
    p: f32,
    chance: f32,
}

#[derive(Serialize)]
struct CacheReport {
    seen: usize,
    readable: usize,
    read_share: f64,
    bytes: u64,
    evicted_bytes: u64,
    reencoded: usize,
}

impl GenerateOutput {
    pub fn new(request: &GenerateRequest, attention: bool) -> Self {
        GenerateOutput {
            model: String::new(),
            settings: request.settings.clone(),
            mask: request.mask.as_ref().map(|mask| MaskReport {
                settings: mask.mask.clone(),
                policy: policy(mask),
                note: None,
            }),
            turns: Vec::new(),
            attention,
        }
    }

    /// Adds what was written just now.
    pub fn add(&mut self, said: Option<String>, session: &WritingSession, written: &[Written]) {
        let of = |i: usize| written.get(i).map(|w| self.continuation(session, i, w));
        let from = written.first().map_or(0, |w| w.from);
        let ids = session.continuations().first().map(Continuation::ids).unwrap_or_default();
        let turn = TurnReport {
            said,
            ids: ids.into_iter().take(from).collect(),
            baseline: of(0),
            masked: of(1),
            parted: session.view().parted,
        };
        self.turns.push(turn);
    }

    fn continuation(&self, session: &WritingSession, i: usize, written: &Written) -> ContinuationReport {
        let tokens = &session.continuations()[i].tokens()[written.from..];
        let own =
            tokens.iter().filter(|t| !session.loaded.is_end(t.token.id) || written.ended == Ended::Tokens);
        let bytes: Vec<u8> = own.flat_map(|t| t.token.bytes.clone()).collect();
        ContinuationReport {
            ids: tokens.iter().map(|t| t.token.id).collect(),
            text: String::from_utf8_lossy(&bytes).into_owned(),
            end: written.ended.name(),
            ms_per_token: written.pace.millis(),
            tokens: tokens
                .iter()
                .enumerate()
                .filter_map(|(n, t)| self.token(session, written.from + n, t))
                .collect(),
        }
    }

    fn token(&self, session: &WritingSession, position: usize, token: &TextToken) -> Option<WrittenReport> {
        let written = token.written.as_ref().filter(|_| token.origin == TokenOrigin::Written)?;
        let outlook = &written.outlook;
        let candidate = |c: &Chance| CandidateReport {
            id: c.id,
            token: TokenText::new(&session.loaded.bytes(c.id)),
            p: c.p,
            chance: c.chance,
        };
        let cache = &outlook.cache;
        Some(WrittenReport {
            position,
            id: token.token.id,
            token: TokenText::new(&token.token.bytes),
            p: written.p,
            chance: written.chance,
            candidates: outlook.candidates.iter().map(candidate).collect(),
            computed: outlook.work.computed,
            reused: outlook.work.reused,
            cache: CacheReport {
                seen: cache.seen,
                readable: cache.readable,
                read_share: cache.read_share,
                bytes: cache.bytes,
                evicted_bytes: cache.evicted_bytes,
                reencoded: cache.reencoded,
            },
            attention: self.attention.then(|| outlook.read.to_vec()),
        })
    }

    /// With what only the end knows.
    pub fn finished(mut self, session: &WritingSession) -> Self {
        self.model.clone_from(&session.loaded.id);
        if let Some(mask) = &mut self.mask {
            mask.note = session.view().note;
        }
        self
    }

    /// A few lines below the text.
    pub fn summary(&self, session: &WritingSession) -> String {
        let mut out = String::new();
        let Some(turn) = self.turns.last() else { return out };
        let mut line = |name: &str, of: &Option<ContinuationReport>| {
            let Some(of) = of else { return };
            let pace = of.ms_per_token.map_or(String::new(), |ms| format!(", {ms:.1} ms each"));
            let end = if of.end == Ended::Tokens.name() { String::new() } else { format!(", {}", of.end) };
            let _ = writeln!(out, "{name}{} tokens{pace}{end}", of.ids.len());
        };
        let both = turn.masked.is_some();
        line(if both { "without the mask: " } else { "" }, &turn.baseline);
        line("under the mask: ", &turn.masked);
        if let (Some(mask), Some(masked)) = (&self.mask, &turn.masked) {
            if let Some(note) = session.view().note {
                let _ = writeln!(out, "{note}");
            }
            if let Some(last) = masked.tokens.last() {
                let c = &last.cache;
                let _ = writeln!(
                    out,
                    "{}: the last token could read {} of {} tokens; keys and values: {} kept, {} evicted",
                    mask.policy,
                    c.readable,
                    c.seen,
                    units::bytes(c.bytes),
                    units::bytes(c.evicted_bytes)
                );
            }
            let _ = match turn.parted {
                Some(at) => writeln!(out, "the two part at token {at}"),
                None => writeln!(out, "the two are the same"),
            };
        }
        format!("\n{out}")
    }
}

/// What decides, in a few words.
fn policy(mask: &GenerateMask) -> String {
    match mask.rolling.policy {
        Some(policy) if policy.has_budget() => format!("{policy}, budget {}", mask.rolling.budget),
        Some(policy) => policy.to_string(),
        None => format!("τ {}, p {}, {}", mask.mask.threshold, mask.mask.probability, mask.mask.polarity),
    }
}
