//! Sequences that are made up while a run trains: repeats of random tokens, pairs to recall, a fact in a text. Their loss
//! counts what can be copied or recalled, and nothing else. Pure: a sequence is a function of the seed and of where its visit
//! is in the run, so that twins see the same ones and a resumed run goes on with the same ones.

use serde::{Deserialize, Serialize};

use super::{Corpus, CutRows};
use crate::mask::draw::{Draws, Stream};
use crate::settings::{choice, optional};
use crate::tensor::cross_entropy::IGNORE;
use crate::train::TrainError;
use crate::train::batch::Visit;

choice! {
    /// What a synthetic sequence asks for.
    pub enum SyntheticTask {
        /// random tokens, repeated to the end with a period of their own: what an induction head predicts
        Repeats = "repeats",
        /// pairs of a key and its value, then keys in any order: the loss is on their values (associative recall)
        Recall = "recall",
        /// a key and its value in a text; after some distance the key stands again, and the loss is on its value
        Fact = "fact",
    }
}

optional!(SyntheticTask, "none", "text only");

/// Which sequences of a run are made up, and how.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyntheticSpec {
    pub task: SyntheticTask,
    /// Share of the sequences, in [0, 1]; the others are text.
    pub share: f64,
    /// Tokens are drawn from the ids below this; 0 is all of the vocabulary.
    pub ids: usize,
    /// Smallest and largest period of repeats, number of pairs, or distance of a fact: drawn for each text.
    pub least: usize,
    pub most: usize,
    /// Tokens of one made-up text; a sequence holds as many texts as fit. 0 is the whole sequence.
    pub context: usize,
}

/// Sequences with this number or above are made up; those of a text stay below.
pub const FIRST_SYNTHETIC: u32 = 1 << 30;
/// Draws of a key after which one is taken that stands in the text already.
const TRIES: usize = 16;

impl SyntheticSpec {
    /// Whether nothing else is trained on.
    pub fn is_alone(&self) -> bool {
        self.share >= 1.0
    }

    /// Checks what can be checked without a model; `context` is the run's.
    ///
    /// # Errors
    /// The first setting that does not fit, with its reason.
    pub fn check(&self, context: usize) -> Result<(), TrainError> {
        let refuse = |problem: String, hint: String| Err(TrainError::Setup { problem, hint: Some(hint) });
        if !(0.0..=1.0).contains(&self.share) {
            return Err(TrainError::setup(format!("synthetic_share must be from 0 to 1: {}", self.share)));
        }
        if self.least > self.most {
            let problem = format!("synthetic_least {} is above synthetic_most {}", self.least, self.most);
            return refuse(problem, "swap them, or make them equal".to_owned());
        }
        let length = if self.context == 0 { context + 1 } else { self.context.min(context) };
        let (needed, what) = match self.task {
            SyntheticTask::Repeats => (self.most + 2, "a period"),
            SyntheticTask::Recall => (2 * self.most + 2, "a number of pairs"),
            SyntheticTask::Fact => (self.most + 2, "a distance"),
        };
        if needed > length || self.least == 0 {
            return refuse(
                format!("{what} from {} to {} does not fit {length} tokens", self.least, self.most),
                "change synthetic_least and synthetic_most, or take a longer context".to_owned(),
            );
        }
        if self.ids > 0 && self.ids < self.fewest_ids() {
            return refuse(
                format!("synthetic_ids {} are too few: {} needs {}", self.ids, self.task, self.fewest_ids()),
                "take more ids, or 0 for all of them".to_owned(),
            );
        }
        Ok(())
    }

    /// Ids without which texts cannot be drawn, one for an end-of-text token included.
    fn fewest_ids(&self) -> usize {
        if self.task == SyntheticTask::Recall { 2 * self.most + 2 } else { 3 }
    }
}

/// Makes the sequences of one run.
#[derive(Clone, Copy, Debug)]
pub struct Synthetic {
    pub spec: SyntheticSpec,
    pub seed: u64,
    /// Ids that the model knows.
    pub vocabulary: usize,
}

/// Inputs and next tokens of what was made so far; one token more than there are targets.
#[derive(Default)]
struct Made {
    tokens: Vec<u32>,
    /// For every token, whether it can be known from those before it.
    counts: Vec<bool>,
}

impl Made {
    fn push(&mut self, token: u32, counts: bool) {
        self.tokens.push(token);
        self.counts.push(counts);
    }
}

/// Numbers drawn one after another for one visit.
struct Source {
    draws: Draws,
    next: usize,
}

impl Source {
    fn below(&mut self, n: usize) -> usize {
        self.next += 1;
        self.draws.below(Stream::Synthetic, self.next, n)
    }

    fn between(&mut self, (least, most): (usize, usize)) -> usize {
        least + self.below(most - least + 1)
    }
}

impl Synthetic {
    /// # Errors
    /// Fewer ids in the vocabulary than the spec draws from.
    pub fn new(spec: SyntheticSpec, seed: u64, vocabulary: usize) -> Result<Self, TrainError> {
        let needed = spec.ids.max(spec.fewest_ids());
        if needed > vocabulary {
            return Err(TrainError::Setup {
                problem: format!(
                    "the synthetic data needs {needed} ids, and the model has {vocabulary}: synthetic_ids is {}",
                    spec.ids
                ),
                hint: Some("take fewer ids, or fewer pairs".to_owned()),
            });
        }
        Ok(Synthetic { spec, seed, vocabulary })
    }

    /// Random tokens in place of a text, for a run that has none: `sequences` of `context` tokens.
    pub fn filler(&self, sequences: usize, context: usize, eot: Option<u32>) -> Corpus {
        // An epoch that no run reaches.
        let mut source = Source { draws: self.draws((u32::MAX, 0)), next: 0 };
        let tokens = (0..=sequences * context).map(|_| self.id(&mut source, eot)).collect();
        Corpus::from_tokens(tokens, vec![0], 0, eot)
    }

    /// Sequences of the same kind that no run visits, in which what can be known counts.
    pub fn held_out(&self, sequences: usize, context: usize, eot: Option<u32>) -> Corpus {
        let text = self.filler(sequences, context, eot);
        let rows = CutRows::new(&text, context.into(), 0);
        let (mut tokens, mut counted, mut starts) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..sequences {
            let visit = self.visit((u32::MAX, i + 1), &rows.visit(&text, i, 0), None, eot);
            starts.push(tokens.len() as u64);
            counted.push(false);
            counted.extend(visit.targets[..context - 1].iter().map(|target| *target != IGNORE));
            tokens.extend(visit.inputs);
        }
        // The next token of the last one.
        tokens.push(text.tokens[0]);
        counted.push(false);
        Corpus::from_tokens(tokens, starts, 0, eot).counting(counted)
    }

    fn draws(&self, (epoch, at): (u32, usize)) -> Draws {
        Draws { seed: self.seed, pass: epoch, sequence: at as u32 }
    }

    /// Whether the visit at place `at` of an epoch is made up.
    pub fn takes(&self, place: (u32, usize)) -> bool {
        self.draws(place).unit(Stream::Synthetic, 0) < self.spec.share
    }

    /// The made-up visit at a place, as long as `text`, which a fact is put into; it begins with `mark` where there is one.
    /// `eot` is never drawn.
    pub fn visit(&self, place: (u32, usize), text: &Visit, mark: Option<u32>, eot: Option<u32>) -> Visit {
        let context = text.inputs.len();
        let mut made = Made::default();
        mark.iter().for_each(|mark| made.push(*mark, false));
        let mut source = Source { draws: self.draws(place), next: 0 };
        // Where no whole text fits any more, one that is cut short ends the sequence.
        while made.tokens.len() <= context {
            let length =
                if self.spec.context == 0 { context + 1 - made.tokens.len() } else { self.spec.context };
            let filler = &text.inputs[made.tokens.len().min(context - 1)..];
            self.text((&mut made, &mut source), length, filler, eot);
        }
        let targets = made.tokens[1..=context].iter().zip(&made.counts[1..]);
        Visit {
            sequence: FIRST_SYNTHETIC + place.1 as u32 % FIRST_SYNTHETIC,
            pass: place.0,
            targets: targets.map(|(&token, &counts)| if counts { token } else { IGNORE }).collect(),
            inputs: made.tokens[..context].to_vec(),
            starts: Vec::new(),
        }
    }

    /// Adds one text of `length` tokens.
    fn text(
        &self,
        (made, source): (&mut Made, &mut Source),
        length: usize,
        filler: &[u32],
        eot: Option<u32>,
    ) {
        let size = source.between((self.spec.least, self.spec.most));
        match self.spec.task {
            SyntheticTask::Repeats => {
                let part: Vec<u32> = (0..size).map(|_| self.id(source, eot)).collect();
                // The token before has to have stood there, too, or nothing tells which one comes next.
                (0..length).for_each(|i| made.push(part[i % size], i > size));
            }
            SyntheticTask::Recall => self.recall((made, source), length, size, eot),
            SyntheticTask::Fact => self.fact((made, source), (length, size), filler, eot),
        }
    }

    /// `size` pairs, then as many questions as fit. Keys come from the lower half of the ids, values from the upper.
    fn recall(&self, (made, source): (&mut Made, &mut Source), length: usize, size: usize, eot: Option<u32>) {
        let half = self.drawn(eot) / 2;
        let mut pairs: Vec<(u32, u32)> = Vec::with_capacity(size);
        while pairs.len() < size {
            let key = self.nth(source.below(half), eot);
            let value = self.nth(half + source.below(half), eot);
            if pairs.iter().all(|(known, _)| *known != key) {
                pairs.push((key, value));
            }
        }
        for i in 0..length / 2 {
            let asks = i >= size;
            let (key, value) = pairs[if asks { source.below(size) } else { i }];
            made.push(key, false);
            made.push(value, asks);
        }
        if length % 2 == 1 {
            made.push(pairs[source.below(size)].0, false);
        }
    }

    /// `filler` with a key and its value in it, and `distance` tokens after the key the two again.
    fn fact(
        &self,
        (made, source): (&mut Made, &mut Source),
        (length, distance): (usize, usize),
        filler: &[u32],
        eot: Option<u32>,
    ) {
        let distance = distance.max(2);
        let text: Vec<u32> = (0..length).map(|i| filler[i % filler.len()]).collect();
        let (mut key, value) = (self.id(source, eot), self.id(source, eot));
        for _ in 0..TRIES {
            if text.contains(&key) {
                key = self.id(source, eot);
            }
        }
        let first = source.below(length - distance - 1);
        for (i, &token) in text.iter().enumerate() {
            let again = i == first + distance + 1;
            let is_key = i == first || i == first + distance;
            let token = if is_key {
                key
            } else if again || i == first + 1 {
                value
            } else {
                token
            };
            made.push(token, again);
        }
    }

    /// How many ids tokens are drawn from.
    pub fn drawn(&self, eot: Option<u32>) -> usize {
        let ids = if self.spec.ids == 0 { self.vocabulary } else { self.spec.ids };
        ids - usize::from(eot.is_some_and(|eot| (eot as usize) < ids))
    }

    /// The id with this number, the end-of-text token left out.
    fn nth(&self, n: usize, eot: Option<u32>) -> u32 {
        let n = n as u32;
        if eot.is_some_and(|eot| n >= eot) { n + 1 } else { n }
    }

    fn id(&self, source: &mut Source, eot: Option<u32>) -> u32 {
        let n = source.below(self.drawn(eot));
        self.nth(n, eot)
    }
}
