//! What crosses between the Generate screen and the engine: how text is written on, and what is known of each token.

use std::sync::Arc;

use super::{Token, Work};
use crate::attention::types::ScoreSettings;
use crate::mask::rolling::RollingSettings;
use crate::mask::types::{MAX_SEED, MaskSettings};
use crate::settings::{choice, settings};

choice! {
    /// What happens when the model's context is full.
    pub enum WhenFull {
        /// writing stops
        Stop = "stop",
        /// the newest half, or what the mask has kept, is encoded again from position 0, and writing goes on
        Roll = "roll",
    }
}

settings! {
    /// How the model writes on
    pub struct GenerateSettings in "generate" {
        /// Tokens to write before it pauses
        tokens: usize = 64, whole(1, 100_000), step(16);
        /// Below 1 likely tokens become likelier; 0 always takes the most probable one
        temperature: f64 = 0.8, range(0.0, 5.0, 0.05, 0.01);
        /// Draw among the K most probable tokens only
        top_k: Option<usize> = Some(50), label("top-k"), word("off"), whole(1, 1_000_000);
        /// Draw among the fewest tokens whose probabilities sum to this; 1 is off
        top_p: f64 = 0.95, label("top-p"), range(0.0, 1.0, 0.05, 0.01);
        /// Above 1 tokens that were read already become less likely; 1 is off
        /// Logits above 0 are divided by it, others multiplied (Keskar et al. 2019).
        repetition_penalty: f64 = 1.0, label("repetition penalty"), range(1.0, 5.0, 0.05, 0.01);
        /// Seed of the draws; a token's draw depends on it and on the token's position alone
        seed: u64 = 1, whole(0, MAX_SEED);
        /// When the context is full
        when_full: WhenFull = WhenFull::Stop, label("when full");
    }
}

/// What to write on from.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateRequest {
    pub prompt: Prompt,
    pub settings: GenerateSettings,
    /// What decides the mask of the second continuation; `None` writes only the one without a mask.
    pub mask: Option<GenerateMask>,
    /// How many candidates are listed.
    pub top: usize,
}

/// The policy of the masked continuation.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateMask {
    pub mask: MaskSettings,
    pub score: ScoreSettings,
    pub rolling: RollingSettings,
}

/// Where writing starts.
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    Text(Arc<str>),
    Ids(Vec<u32>),
    /// A dialogue: the person speaks first.
    Dialogue,
}

/// What the Generate screen asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum GenerateCommand {
    /// Start again from the beginning.
    Start(Box<GenerateRequest>),
    /// Write one token.
    Step,
    /// Write until it pauses.
    Run,
    Pause,
    /// Take this token at this place of a continuation, whatever stands there; what followed is written again.
    Take {
        continuation: usize,
        at: usize,
        id: u32,
    },
    /// Strike out the token at this place; what followed is written again.
    Strike {
        continuation: usize,
        at: usize,
    },
    /// A turn of the person in a dialogue; the model answers.
    Say(String),
    Undo,
    Redo,
    /// Draw by these settings from the next token on.
    Settings(GenerateSettings),
    /// Write the masked continuation again under this mask; `None` takes it away.
    Mask(Option<Box<GenerateMask>>),
}

/// Where a token of a continuation comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenOrigin {
    /// The text that was given.
    Prompt,
    /// A turn of the person, with the marks around it.
    Said,
    /// Drawn.
    Written,
    /// Taken by hand.
    Taken,
}

/// A candidate for the next token.
#[derive(Clone, Debug, PartialEq)]
pub struct Chance {
    pub id: u32,
    pub display: String,
    /// The model's probability.
    pub p: f32,
    /// Its probability in the draw: after penalty, temperature, top-k and top-p.
    pub chance: f32,
}

/// What the cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CacheUse {
    /// Tokens read.
    pub seen: usize,
    /// Of these, tokens whose keys and values the next token can read, in at least one head.
    pub readable: usize,
    /// Share of all keys that heads can still read; heads may keep sets of their own.
    pub read_share: f64,
    /// Keys and values that are kept, of all layers and heads.
    pub bytes: u64,
    /// Those that have left the cache.
    pub evicted_bytes: u64,
    /// How often the kept tokens were encoded again because the context was full.
    pub reencoded: usize,
}

/// What is known before a token is written: what the last token read, and what may come.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlook {
    /// The place of the token to come, in the whole text.
    pub position: usize,
    /// The model's most probable tokens, most probable first.
    pub candidates: Arc<[Chance]>,
    /// Attention of the last token over itself and the past, mean over layers and heads, `[position]`.
    pub read: Arc<[f32]>,
    /// The same for every head, `[L·H, position]`, layer-major; `None` where it is too long ago.
    pub by_head: Option<Arc<[f32]>>,
    /// Tokens that the next one cannot read, ascending.
    pub hidden: Arc<[usize]>,
    /// Rows that were computed for it, and rows that were known, over all layers.
    pub work: Work,
    pub cache: CacheUse,
}

/// How a token was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Choosing {
    pub outlook: Arc<Outlook>,
    /// The model's probability of it.
    pub p: f32,
    /// Its probability in the draw.
    pub chance: f32,
}

/// One token of a continuation.
#[derive(Clone, Debug, PartialEq)]
pub struct TextToken {
    pub token: Token,
    pub origin: TokenOrigin,
    /// `None` for tokens that were given.
    pub written: Option<Choosing>,
}

choice! {
    /// Why writing has ended.
    pub enum EndReason {
        /// The model wrote the token that ends texts.
        EndOfText = "end of text",
        /// The context is full.
        Full = "context full",
    }
}

/// One continuation as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct ContinuationView {
    pub masked: bool,
    pub tokens: Arc<[Arc<TextToken>]>,
    /// What comes after the last token; `None` while it is not known.
    pub next: Option<Arc<Outlook>>,
    pub end: Option<EndReason>,
}

/// Everything that is known of what was written.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateView {
    pub continuations: Vec<ContinuationView>,
    /// The first place at which the two differ; `None` while they do not.
    pub parted: Option<usize>,
    /// More is being written.
    pub writing: bool,
    pub can_undo: bool,
    pub can_redo: bool,
    /// How turns become text, in a dialogue.
    pub dialogue: Option<String>,
    /// What the mask does other than its settings say, in a sentence.
    pub note: Option<String>,
    /// Milliseconds that the last token took, in all continuations.
    pub millis: f32,
}

/// What the engine says of it.
#[derive(Clone, Debug)]
pub enum GenerateUpdate {
    State(GenerateView),
    /// It could not be done; what was written stays.
    Failed {
        message: String,
        hint: Option<String>,
    },
}
