//! What the screen or a command and the engine exchange about interventions: each with its written form, their
//! effects beside those of random ones, a grid of patches. Plain data.

use std::fmt;
use std::sync::Arc;

use super::Candidate;

/// Layers and heads of them; `None` is every one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HeadSet {
    pub layer: Option<usize>,
    pub head: Option<usize>,
}

/// Positions from the first to the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PositionSpan {
    pub first: usize,
    pub last: usize,
}

impl PositionSpan {
    pub fn one(position: usize) -> Self {
        PositionSpan { first: position, last: position }
    }

    /// Number of positions.
    pub fn size(self) -> usize {
        self.last - self.first + 1
    }
}

/// One thing that is done differently in the pass over the text, without a mask. Its written form, read by
/// [`Intervention::parse`] and given back by `to_string`, is that of the command `intervene`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Intervention {
    /// The attention of these queries on these keys is 0, and the rest of each row is renormalised. Without `queries`, those after
    /// each key; without `keys`, those before each query.
    Block { heads: HeadSet, queries: Option<PositionSpan>, keys: Option<PositionSpan> },
    /// A head's output times a factor.
    Gate { layer: usize, head: usize, factor: f32 },
    /// A head's output is its mean over the positions up to the query.
    Mean { layer: usize, head: usize },
    /// The residual stream that goes into a layer, or a head's output, comes from the other text. `None` is every layer,
    /// every position.
    Patch { layer: Option<usize>, head: Option<usize>, positions: Option<PositionSpan> },
}

/// Why a written intervention cannot be read, and how it is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnreadIntervention(pub String);

/// How an intervention of each kind is written.
pub const WRITTEN: [(&str, &str); 5] = [
    ("block", "QUERY:KEY, e.g. 7:2, 5-9:0-3, all:2 or 7:all; @LAYER or @LAYER.HEAD behind it names heads"),
    ("zero", "LAYER.HEAD, e.g. 1.0"),
    ("mean", "LAYER.HEAD, e.g. 1.0"),
    ("gate", "LAYER.HEAD=FACTOR with a factor from 0 to 2, e.g. 1.0=0.5"),
    ("patch", "POSITION@LAYER or POSITION@LAYER.HEAD, e.g. 5@2, 3-6@2.1, all@2 or 5@all"),
];

impl Intervention {
    /// Reads `block 7:2@1.0`, `zero 1.0`, `mean 1.0`, `gate 1.0=0.5` or `patch 5@2`.
    ///
    /// # Errors
    /// What cannot be read, with the form that can.
    pub fn parse(text: &str) -> Result<Self, UnreadIntervention> {
        let (kind, rest) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
        let Some((_, form)) = WRITTEN.iter().find(|(name, _)| *name == kind) else {
            let kinds: Vec<&str> = WRITTEN.iter().map(|(name, _)| *name).collect();
            return Err(UnreadIntervention(format!("begin with one of {}, not {kind:?}", kinds.join(", "))));
        };
        let read = match kind {
            "block" => block(rest),
            "zero" => one_head(rest).map(|(layer, head)| Intervention::Gate { layer, head, factor: 0.0 }),
            "mean" => one_head(rest).map(|(layer, head)| Intervention::Mean { layer, head }),
            "gate" => gate(rest),
            _ => patch(rest),
        };
        read.ok_or_else(|| UnreadIntervention(format!("{:?} is not {form}", rest.trim())))
    }

    /// Whether it needs the other text.
    pub fn is_patch(&self) -> bool {
        matches!(self, Intervention::Patch { .. })
    }
}

fn number(text: &str) -> Option<usize> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// `None` is all.
fn span(text: &str) -> Option<Option<PositionSpan>> {
    if text == "all" {
        return Some(None);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let span = PositionSpan { first: number(first)?, last: number(last)? };
    (span.first <= span.last).then_some(Some(span))
}

/// `1`, `1.0`, `all`.
fn heads(text: &str) -> Option<HeadSet> {
    let part = |text: &str| if text == "all" { Some(None) } else { number(text).map(Some) };
    let (layer, head) = text.split_once('.').unwrap_or((text, "all"));
    Some(HeadSet { layer: part(layer)?, head: part(head)? })
}

fn one_head(text: &str) -> Option<(usize, usize)> {
    let HeadSet { layer, head } = heads(text.trim())?;
    Some((layer?, head?))
}

fn block(text: &str) -> Option<Intervention> {
    let (cells, place) = text.trim().split_once('@').unwrap_or((text.trim(), "all"));
    let (queries, keys) = cells.split_once([':', '>'])?;
    Some(Intervention::Block { heads: heads(place)?, queries: span(queries)?, keys: span(keys)? })
}

fn gate(text: &str) -> Option<Intervention> {
    let (head, factor) = text.trim().split_once('=')?;
    let ((layer, head), factor) = (one_head(head)?, factor.parse::<f32>().ok()?);
    (0.0..=2.0).contains(&factor).then_some(Intervention::Gate { layer, head, factor })
}

fn patch(text: &str) -> Option<Intervention> {
    let (positions, place) = text.trim().split_once('@')?;
    let HeadSet { layer, head } = heads(place)?;
    Some(Intervention::Patch { layer, head, positions: span(positions)? })
}

impl fmt::Display for PositionSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

impl fmt::Display for HeadSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.layer, self.head) {
            (None, None) => f.write_str("all"),
            (Some(layer), None) => write!(f, "{layer}"),
            (None, Some(head)) => write!(f, "all.{head}"),
            (Some(layer), Some(head)) => write!(f, "{layer}.{head}"),
        }
    }
}

impl fmt::Display for Intervention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all =
            |span: &Option<PositionSpan>| span.map_or_else(|| "all".to_owned(), |span| span.to_string());
        match self {
            Intervention::Block { heads, queries, keys } => {
                write!(f, "block {}:{}", all(queries), all(keys))?;
                if *heads == HeadSet::default() { Ok(()) } else { write!(f, "@{heads}") }
            }
            Intervention::Gate { layer, head, factor: 0.0 } => write!(f, "zero {layer}.{head}"),
            Intervention::Gate { layer, head, factor } => write!(f, "gate {layer}.{head}={factor}"),
            Intervention::Mean { layer, head } => write!(f, "mean {layer}.{head}"),
            Intervention::Patch { layer, head, positions } => {
                write!(f, "patch {}@{}", all(positions), HeadSet { layer: *layer, head: *head })
            }
        }
    }
}

/// An intervention of the stack, and whether it is carried out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StackItem {
    pub what: Intervention,
    pub on: bool,
}

/// The stack of interventions, and what their effect is measured by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interventions {
    pub list: Vec<StackItem>,
    /// The text that patches come from; as many tokens as the explored one.
    pub other: Option<Arc<str>>,
    /// The same as token ids; they come before the text.
    pub other_ids: Option<Vec<u32>>,
    /// The logit of this token, less that of the second one; `None` is the token that follows, or the most probable one.
    pub contrast: Option<(String, Option<String>)>,
    /// Random interventions that each is compared with, and the seed that draws them.
    pub controls: usize,
    pub seed: u64,
}

/// What random interventions of one kind do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ControlRange {
    /// How many there were.
    pub n: usize,
    /// Their median.
    pub median: f64,
    /// A further one of the same kind lies at or below this with probability `covers`.
    pub high: f64,
    /// 0.95, or less where there are too few controls for it.
    pub covers: f64,
}

/// What an intervention does to the prediction at the position asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct InterventionEffect {
    pub what: Intervention,
    pub on: bool,
    /// KL(without ‖ with), nats; not a number until it is measured.
    pub kl: f64,
    /// Change of the measured logit, or of the difference of two.
    pub change: f64,
    /// Of KL and of the size of the change.
    pub controls: Option<[ControlRange; 2]>,
    /// Controls measured and to be measured.
    pub done: usize,
    pub of: usize,
    /// That it has no effect, and why; or why it has no controls.
    pub note: Option<String>,
    /// Why it cannot be carried out, and what to do about it.
    pub problem: Option<(String, Option<String>)>,
}

impl InterventionEffect {
    /// Whether KL or the change is above what is to be expected of a random one; `None` until that is known.
    pub fn stands_out(&self) -> Option<bool> {
        let [kl, change] = self.controls.filter(|_| self.done == self.of)?;
        Some(self.kl > kl.high || self.change.abs() > change.high)
    }
}

/// Everything measured of a stack.
#[derive(Clone, Debug, PartialEq)]
pub struct InterventionReport {
    /// In the order of the stack.
    pub effects: Vec<InterventionEffect>,
    /// All that are on, at once: KL, change, and what is predicted.
    pub together: Option<(f64, f64, Vec<Candidate>)>,
    /// Why they cannot be carried out at once.
    pub problem: Option<(String, Option<String>)>,
    /// What is measured, in words, e.g. `logit of “·A” − logit of “·B”`.
    pub measure: String,
    /// The token after which the next one is predicted.
    pub position: usize,
    /// Passes done and to do.
    pub done: usize,
    pub of: usize,
}

/// Every layer × position patched from the other text, one at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchGrid {
    pub layers: usize,
    pub positions: usize,
    /// KL(without ‖ with) and change, layer by layer; `None` is still to come.
    pub cells: Vec<Option<(f64, f64)>>,
    pub measure: String,
    /// What the measure is in this text and in the other one.
    pub ends: (f64, f64),
    /// No more cells are measured.
    pub stopped: bool,
}

impl PatchGrid {
    /// Cells that are known.
    pub fn done(&self) -> usize {
        self.cells.iter().flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_forms_are_read_and_given_back() {
        for text in [
            "block 7:2",
            "block 7:2@1",
            "block 7:2@1.0",
            "block 5-9:0-3@all.2",
            "block all:2",
            "block 7:all@3",
            "zero 1.0",
            "mean 11.3",
            "gate 1.0=0.5",
            "patch 5@2",
            "patch 3-6@2.1",
            "patch all@2",
            "patch 5@all",
        ] {
            assert_eq!(Intervention::parse(text).unwrap().to_string(), text);
        }
        let same = |a: &str, b: &str| assert_eq!(Intervention::parse(a), Intervention::parse(b));
        same("block 7>2@1.0", " block  7:2@1.0 ");
        same("gate 1.0=0", "zero 1.0");
        same("block 7:2@all.all", "block 7:2");
    }

    #[test]
    fn what_cannot_be_read_is_answered_with_what_can() {
        let said = |text: &str| Intervention::parse(text).unwrap_err().to_string();
        assert_eq!(said("cut 7:2"), "begin with one of block, zero, mean, gate, patch, not \"cut\"");
        assert!(said("").starts_with("begin with one of"));
        for bad in ["block 7", "block 9-5:1", "block -1:2", "block 7:2@x", "block 7:2@1.", "block a:b"] {
            assert!(said(bad).contains("is not QUERY:KEY, e.g. 7:2"), "{bad}");
        }
        for bad in ["zero 1", "zero", "zero all.1", "mean x"] {
            assert!(said(bad).contains("is not LAYER.HEAD, e.g. 1.0"), "{bad}");
        }
        for bad in ["gate 1.0", "gate 1.0=3", "gate 1.0=NaN", "gate 1=0.5", "gate 1.0=-0.1"] {
            assert!(said(bad).contains("a factor from 0 to 2"), "{bad}");
        }
        assert!(said("patch 5").contains("is not POSITION@LAYER"));
    }
}
