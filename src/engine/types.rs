//! What crosses between the screen and the engine thread. Plain data, cheap to clone (`Arc` for anything long).

mod export;
mod generate;
mod intervene;
mod models;
mod train;

use std::sync::Arc;

use crate::attention::types::{Reduction, ScoreSettings};
use crate::mask::rolling::RollingSettings;
use crate::mask::types::{Decision, MaskSettings, Op};
use crate::settings::choice;
pub use export::ExportOutcome;
pub use generate::{
    CacheUse, Chance, Choosing, ContinuationView, EndReason, GenerateCommand, GenerateMask, GenerateRequest,
    GenerateSettings, GenerateUpdate, GenerateView, Outlook, Prompt, TextToken, TokenOrigin, WhenFull,
};
pub use intervene::{
    ControlRange, HeadSet, Intervention, InterventionEffect, InterventionReport, Interventions, PatchGrid,
    PositionSpan, StackItem, WRITTEN,
};
pub use models::{ModelsCommand, ModelsUpdate};
pub use train::{FOLLOWED, GoOn, TrainCommand, TrainUpdate};

choice! {
    /// Which run the heatmap shows.
    pub enum MapKind {
        /// the run under the mask
        Masked = "masked",
        /// the run without a mask
        Baseline = "baseline",
        /// masked minus baseline
        Difference = "difference",
        /// the run under the interventions, without a mask
        Intervened = "intervened",
    }
}

/// Which attention map is looked at. `None` means the mean over that axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HeadChoice {
    pub layer: Option<usize>,
    pub head: Option<usize>,
}

/// What the explorer wants to see. The newest request replaces any older one that has not started.
#[derive(Clone, Debug, PartialEq)]
pub struct ExploreRequest {
    /// Grows with every request; results carry it back.
    pub generation: u64,
    pub text: Arc<str>,
    pub mask: MaskSettings,
    pub score: ScoreSettings,
    /// How decisions roll along the text under scope `block`.
    pub rolling: RollingSettings,
    pub map: MapKind,
    pub heads: HeadChoice,
    /// How many next-token candidates.
    pub top: usize,
    /// Whether the overview (all layers × heads, small) is on screen.
    pub overview: bool,
    /// Whether the effect panel wants all operations, not only the chosen one.
    pub effects: bool,
    /// The token after which the next one is predicted; `None` is the last.
    pub position: Option<usize>,
    /// What is done differently in the run without a mask.
    pub interventions: Arc<Interventions>,
}

/// Work that is not the latest-wins exploration.
#[derive(Clone, Debug)]
pub enum Command {
    /// Load another model: `demo`, a folder or a Hub id, with an optional `@revision`.
    LoadModel {
        spec: String,
    },
    /// Ask the Hub for the newest version of a cached model and load it; the old one serves until that is whole.
    RefreshModel {
        spec: String,
    },
    CancelLoad,
    /// Re-roll the seed `count` times and report mean and spread of the effect.
    Rerolls {
        generation: u64,
        count: usize,
    },
    /// Cost of hiding each token, against every score.
    Cost {
        generation: u64,
    },
    /// How much the mask tells about the next token, on held-out text.
    Leak {
        generation: u64,
    },
    /// Patch every layer and position from the other text, one at a time.
    PatchGrid {
        generation: u64,
    },
    /// Stop measuring interventions and patches; what is known stays.
    CancelIntervening,
    /// Stop a running `Rerolls`, `Cost` or `Leak`.
    CancelBackground,
    /// A load has ended; the loader tells the worker so.
    Loaded,
    /// Weights of a run in progress wait to be shown.
    Followed,
    /// From the Generate screen.
    Generate(GenerateCommand),
    /// Ask for the hash of the weights in use.
    Fingerprint,
    Shutdown,
}

/// One token as a person may see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub id: u32,
    /// Safe to print: whitespace, control characters and loose bytes made visible.
    pub display: String,
    /// The exact bytes.
    pub bytes: Vec<u8>,
    /// Byte range in the text it came from; empty for tokens that stand for no text.
    pub span: (usize, usize),
}

/// A candidate for the next token.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    pub id: u32,
    pub display: String,
    /// Probability, 0..1.
    pub p: f32,
}

/// What one run says.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Most probable next tokens after the position asked for, most probable first; none where its token was dropped.
    pub next: Vec<Candidate>,
    /// `-ln p(x_i | x_<i)` in nats for every position of the *full* text; `None` for position 0 and dropped queries.
    pub surprisal: Vec<Option<f32>>,
    /// Mean surprisal, nats per token.
    pub loss: Option<f32>,
}

impl Prediction {
    /// Takes surprisals and loss from `ln p` of the true next token after each position.
    pub fn surprise(&mut self, next_log_p: &[Option<f32>]) {
        for (i, log_p) in next_log_p.iter().enumerate() {
            if let Some(surprisal) = self.surprisal.get_mut(i + 1) {
                *surprisal = log_p.map(|p| -p);
            }
        }
        let known: Vec<f64> = self.surprisal.iter().flatten().map(|s| f64::from(*s)).collect();
        self.loss = (!known.is_empty()).then(|| (known.iter().sum::<f64>() / known.len() as f64) as f32);
    }
}

/// What a run cost, in token·layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Rows computed, summed over layers.
    pub computed: usize,
    /// Rows taken from an earlier run.
    pub reused: usize,
    /// Rows that the operation removed (drop, evict, skip).
    pub saved: usize,
}

/// The effect of one operation against the baseline.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskEffect {
    /// The operation of the settings; a mix may carry out others.
    pub op: Op,
    pub prediction: Prediction,
    /// KL(baseline ‖ masked) at the position asked for, nats; not a number where its token was dropped.
    pub kl: f32,
    /// Mean change of log-probability (masked − baseline) at masked positions, nats per token.
    pub delta_masked: Option<f32>,
    /// The same at every other surviving position.
    pub delta_unmasked: Option<f32>,
    pub work: Work,
}

/// Mean and sample standard deviation over re-rolls.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    pub mean: f64,
    pub sd: f64,
    pub n: usize,
}

/// One operation over re-rolled seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct RerollRow {
    pub op: Op,
    /// KL(baseline ‖ masked) at the last position, nats.
    pub kl: Spread,
    /// Nats per token.
    pub loss: Spread,
    pub delta_masked: Spread,
    pub delta_unmasked: Spread,
    /// Share of the token·layers that the operation saved.
    pub saved: Spread,
}

choice! {
    /// How a position stands at a window boundary.
    pub enum Standing {
        /// Among the newest tokens, which are not touched yet.
        Recent = "recent",
        /// Never masked, or resting after it was.
        Protected = "protected",
        /// Could have been masked and was not.
        Kept = "kept",
        /// Masked at this boundary.
        Masked = "masked",
        /// Masked at an earlier boundary and still.
        Gone = "gone",
        /// Kept by some heads and let go by others, where every head decides for itself.
        Partly = "some heads",
    }
}

/// One boundary of a rolling window.
#[derive(Clone, Debug, PartialEq)]
pub struct BoundaryRow {
    /// Tokens read; the decision holds for the queries that follow.
    pub end: usize,
    /// `[end]`.
    pub standing: Vec<Standing>,
}

/// What the rolling window remembers of one position.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PositionHistory {
    /// The score from decayed C and E at the last boundary, before scaling.
    pub score: Option<f64>,
    /// h: boundaries at which it was masked.
    pub times: u32,
    /// The boundary at which it was last masked, counted from 1; 0 is the initial pattern.
    pub last: Option<u32>,
    /// First query that could not read it, and the query from which on it could again.
    pub hidden: Option<(u32, Option<u32>)>,
    /// Heads that keep it and heads in all, where every head decides for itself.
    pub heads: Option<(usize, usize)>,
}

/// A rolling window over one text.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowReport {
    pub rows: Vec<BoundaryRow>,
    /// One per token of the text.
    pub positions: Vec<PositionHistory>,
    /// The score in force, in words and symbols.
    pub formula: String,
    /// Where kept tokens were encoded again because the text outgrew the context.
    pub reencoded: Vec<usize>,
    /// Tokens that left the context there: masked at an earlier boundary, they are not in the cache any more.
    pub left: usize,
    /// Share of the keys and values of all heads that the cache still holds after the last token.
    pub cache_share: f64,
}

/// The leak meter's answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeakReport {
    /// Bits per token that the mask tells about the next token, with its 95 % interval.
    pub bits: f64,
    pub low: f64,
    pub high: f64,
    /// Held-out tokens behind it.
    pub tokens: usize,
}

/// One attention map in the coordinates of the full text.
#[derive(Clone, Debug, PartialEq)]
pub struct MapFrame {
    pub kind: MapKind,
    pub heads: HeadChoice,
    /// Number of tokens `T` of the full text.
    pub len: usize,
    /// Row-major `[T, T]`; future cells 0; rows and columns of dropped tokens are NaN.
    pub values: Arc<[f32]>,
}

/// A thumbnail and its statistics for the overview.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadSummary {
    pub layer: usize,
    pub head: usize,
    /// Max-pooled map, row-major `[side, side]`.
    pub side: usize,
    pub thumbnail: Vec<f32>,
    /// Share of attention on position 0 by later queries.
    pub sink: f32,
    /// Mean row entropy in nats.
    pub entropy: f32,
    /// Mean attention to the previous token.
    pub previous: f32,
    /// Mean attention to the token after an earlier copy of the query token; `None` without repeats.
    pub induction: Option<f32>,
    /// Mean attention mass on masked keys.
    pub mask_mass: f32,
}

/// What the screen shows of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// `demo`, the Hub id or the folder.
    pub id: String,
    pub n_layer: usize,
    pub n_head: usize,
    pub n_embd: usize,
    pub n_positions: usize,
    pub vocab_size: usize,
    pub parameters: usize,
    pub dtype: String,
    pub device: String,
    /// Whether the model has a trained `[MASK]` row.
    pub has_mask_row: bool,
    pub calibrated: bool,
    /// A note to show when the model opens.
    pub note: Option<String>,
}

/// Progress of a load or download.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadProgress {
    pub id: String,
    /// What is going on, e.g. `model.safetensors` or `reading weights`.
    pub what: String,
    pub done: u64,
    /// Bytes in all, where known.
    pub total: Option<u64>,
    /// Bytes per second, smoothed.
    pub rate: Option<f64>,
    /// Bytes of the file under way that are there, and its size.
    pub file: Option<(u64, u64)>,
}

impl LoadProgress {
    /// At the beginning of something.
    pub fn new(id: impl Into<String>, what: impl Into<String>) -> Self {
        LoadProgress { id: id.into(), what: what.into(), done: 0, total: None, rate: None, file: None }
    }
}

/// A score and how well it predicted the cost.
#[derive(Clone, Debug, PartialEq)]
pub struct CostRow {
    pub score: String,
    /// The settings behind the name.
    pub reduction: Reduction,
    pub contribution: bool,
    /// Spearman's ρ; `None` under three scored tokens or with no variance.
    pub rho: Option<f64>,
    /// Spearman's ρ of the score with the position of the token.
    pub position: Option<f64>,
    /// Tokens compared.
    pub tokens: usize,
    /// Whether this is the score in force.
    pub in_force: bool,
}

/// Results and news, in the order they become known. Everything that answers a request carries its generation.
#[derive(Clone, Debug)]
pub enum Update {
    Tokens {
        generation: u64,
        tokens: Arc<[Token]>,
        /// Tokens left out at the end, where the text is longer than the context.
        truncated: Option<usize>,
    },
    Baseline {
        generation: u64,
        prediction: Arc<Prediction>,
        work: Work,
    },
    /// Scores before scaling, one per position; `formula` is the score in force, in words and symbols.
    Scored {
        generation: u64,
        scores: Arc<[Option<f64>]>,
        formula: String,
    },
    Decided {
        generation: u64,
        decision: Arc<Decision>,
        masked_text: String,
        note: Option<String>,
        /// How the window rolled under scope `block`; `None` under `whole`.
        window: Option<Arc<WindowReport>>,
    },
    Masked {
        generation: u64,
        effect: Arc<MaskEffect>,
    },
    /// Every operation side by side, same decision (only if asked for).
    Effects {
        generation: u64,
        effects: Arc<[MaskEffect]>,
    },
    Map {
        generation: u64,
        frame: MapFrame,
    },
    Overview {
        generation: u64,
        heads: Arc<[HeadSummary]>,
    },
    /// Everything asked for in this generation has been sent.
    Done {
        generation: u64,
        forwards: usize,
        millis: f32,
    },
    /// The request could not be answered.
    Failed {
        generation: u64,
        message: String,
        hint: Option<String>,
    },
    /// A panic in the engine thread, caught; the engine continues.
    Crashed {
        message: String,
    },
    Rerolls {
        generation: u64,
        done: usize,
        of: usize,
        rate: Spread,
        /// The chosen operation first.
        rows: Arc<[RerollRow]>,
    },
    /// Windows of held-out text seen by the leak meter; the answer comes with the last one, `None` where there was too
    /// little text.
    Leak {
        generation: u64,
        done: usize,
        of: usize,
        report: Option<LeakReport>,
    },
    /// What interventions do, as far as it is measured.
    Intervened {
        generation: u64,
        report: Arc<InterventionReport>,
    },
    PatchGrid {
        generation: u64,
        grid: Arc<PatchGrid>,
    },
    Cost {
        generation: u64,
        done: usize,
        of: usize,
        costs: Arc<[Option<f32>]>,
        rows: Arc<[CostRow]>,
    },
    /// The distance null of the model in use is being measured: windows of text done, and how many there are.
    Calibrating {
        done: usize,
        of: usize,
    },
    /// The distance null is known, and the next answer uses it.
    CalibrationReady,
    ModelLoading(LoadProgress),
    ModelReady(ModelInfo),
    /// The Hub has a newer version of the cached model in use; `RefreshModel` fetches it.
    ModelMoved {
        spec: String,
    },
    /// The model in use stays.
    ModelFailed {
        id: String,
        message: String,
        hint: Option<String>,
    },
    /// From the trainer.
    Train(Box<TrainUpdate>),
    /// From the library of models.
    Models(Box<ModelsUpdate>),
    /// SHA-256 over the weights of the model in use, or why they cannot be read.
    Fingerprint {
        model: String,
        hash: Result<String, String>,
    },
    /// A file that the screen asked for.
    Exported(ExportOutcome),
    /// Of the text that is being written on.
    Generate(Box<GenerateUpdate>),
}
