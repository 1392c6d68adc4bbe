//! A session as one small TOML file: model and the hash of its weights, text and ids, every setting that decides, where one
//! looked, and the numbers that came out. `maskscope replay` runs it again without a screen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config::{AllSettings, Settings};
use crate::screen::export::command::decisive;
use crate::screen::export::numbers::ExportSubject;
use crate::screen::results::Results;
use crate::support::units::hex;
use crate::support::visible::shortened;

/// The newest version of the file that is read and written.
const VERSION: u32 = 1;
/// How far numbers of another machine may be off: as many float additions in another order give.
const TOLERANCE: f64 = 1e-4;

/// The file. Unknown keys are refused, so that a misspelt one does not go unnoticed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedSession {
    pub version: u32,
    pub model: SavedModel,
    pub text: SavedText,
    /// Every setting that decides, as a person types it.
    pub settings: BTreeMap<String, String>,
    #[serde(default)]
    pub view: SavedView,
    /// What came out when it was saved.
    pub recorded: RecordedNumbers,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedModel {
    pub id: String,
    /// SHA-256 over all weights.
    pub weights: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedText {
    pub text: String,
    pub ids: Vec<u32>,
}

/// Where one looked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SavedView {
    pub query: usize,
    pub key: usize,
    /// The token after which the next one is predicted; absent for the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<usize>,
    /// Pinned regions, e.g. `3,5-7`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pins: String,
}

/// The numbers of a session; those that are not defined are absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordedNumbers {
    /// The score in force, in words and symbols.
    pub score: String,
    pub masked: Vec<usize>,
    pub next: Vec<u32>,
    pub next_masked: Vec<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_masked: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kl_nats: Option<f64>,
    /// Sum of the squared values of the map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map_squared: Option<f64>,
    /// The first eight digits of a hash of every setting and pin: tells which one was changed by hand afterwards.
    pub settings: BTreeMap<String, String>,
}

impl SavedSession {
    /// What is on screen; `None` until the engine has answered.
    pub fn new(
        results: &Results,
        subject: &ExportSubject,
        weights: &str,
        (query, key): (usize, usize),
    ) -> Option<Self> {
        let settings: BTreeMap<String, String> = decisive(&subject.settings).into_iter().collect();
        let view = SavedView { query, key, position: subject.position, pins: subject.pins.clone() };
        let mut out = SavedSession {
            version: VERSION,
            model: SavedModel { id: subject.model.clone(), weights: weights.to_owned() },
            text: SavedText {
                text: subject.text.clone(),
                ids: results.tokens().iter().map(|t| t.id).collect(),
            },
            settings,
            view,
            recorded: recorded(results)?,
        };
        out.recorded.settings = out.marks();
        Some(out)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn read(text: &str) -> Result<Self, String> {
        let session: SavedSession = toml::from_str(text).map_err(|e| shortened(e.message(), 200))?;
        if session.version != VERSION {
            return Err(format!("its version is {}; this program reads version {VERSION}", session.version));
        }
        Ok(session)
    }

    /// The file.
    ///
    /// # Errors
    /// What TOML cannot hold, in a sentence.
    pub fn written(&self) -> Result<String, String> {
        let body = toml::to_string(self).map_err(|e| format!("TOML cannot hold it: {e}"))?;
        Ok(format!(
            "# A session of maskscope. `maskscope --session FILE` opens it; `maskscope replay FILE --verify` runs it again\n\
             # and says what differs.\n{body}"
        ))
    }

    /// The settings of this session over `base`.
    ///
    /// # Errors
    /// A setting that does not exist or a value that it does not take, in a sentence.
    pub fn settings_over(&self, base: &Settings) -> Result<Settings, String> {
        let mut out = base.clone();
        for (path, value) in &self.settings {
            out.set(path, value).map_err(|problem| problem.to_string())?;
        }
        out.mask.pinned = pins(&self.view.pins)?;
        Ok(out)
    }

    /// A short hash of every setting and pin.
    fn marks(&self) -> BTreeMap<String, String> {
        let pins = (!self.view.pins.is_empty()).then(|| ("pins".to_owned(), mark(&self.view.pins)));
        self.settings.iter().map(|(path, value)| (path.clone(), mark(value))).chain(pins).collect()
    }

    /// The first difference between this session and the same one run again, in a sentence: weights, ids, settings, numbers,
    /// in this order. `None` where there is none.
    pub fn first_difference(&self, again: &SavedSession) -> Option<String> {
        if self.model.weights != again.model.weights {
            return Some(format!(
                "the weights of {} differ: their hash was {} and is {} now",
                self.model.id,
                shortened(&self.model.weights, 12),
                shortened(&again.model.weights, 12)
            ));
        }
        let (was, now) = (&self.text.ids, &again.text.ids);
        if was != now {
            let at = was.iter().zip(now).take_while(|(a, b)| a == b).count();
            let name =
                |ids: &[u32]| ids.get(at).map_or_else(|| "nothing".to_owned(), |id| format!("id {id}"));
            return Some(format!("token {at} differs: it was {} and is {} now", name(was), name(now)));
        }
        self.changed_setting().or_else(|| self.recorded.first_difference(&again.recorded))
    }

    /// A setting that was changed in the file after it was saved.
    fn changed_setting(&self) -> Option<String> {
        let (was, now) = (&self.recorded.settings, self.marks());
        let paths = was.keys().chain(now.keys());
        // The seed first: it is what people change.
        let mut changed: Vec<&String> = paths.filter(|path| was.get(*path) != now.get(*path)).collect();
        changed.sort_by_key(|path| path.as_str() != "mask.seed");
        let path = changed.first()?;
        let value = self.settings.get(*path).or_else(|| (*path == "pins").then_some(&self.view.pins));
        Some(match value {
            Some(value) => format!("{path} was changed after the session was saved: it is {value} now"),
            None => format!("{path} was taken out after the session was saved"),
        })
    }
}

impl RecordedNumbers {
    /// The first number that differs by more than rounding.
    fn first_difference(&self, now: &RecordedNumbers) -> Option<String> {
        if self.score != now.score {
            return Some(format!("the score in force was {} and is {} now", self.score, now.score));
        }
        let lists = [
            ("masked positions", format!("{:?}", self.masked), format!("{:?}", now.masked)),
            ("next tokens", format!("{:?}", self.next), format!("{:?}", now.next)),
            (
                "next tokens under the mask",
                format!("{:?}", self.next_masked),
                format!("{:?}", now.next_masked),
            ),
        ];
        let numbers = [
            ("loss", self.loss, now.loss),
            ("loss under the mask", self.loss_masked, now.loss_masked),
            ("KL", self.kl_nats, now.kl_nats),
            ("the map (sum of squares)", self.map_squared, now.map_squared),
        ];
        // A number says more than the order of near-equal candidates that follows from it.
        let number = numbers.into_iter().find(|(_, was, now)| !close(*was, *now)).map(|(name, was, now)| {
            let shown = |x: Option<f64>| x.map_or_else(|| "undefined".to_owned(), |x| format!("{x:.6}"));
            format!("{name} was {} and is {} now", shown(was), shown(now))
        });
        let listed = |(name, was, now): &(&str, String, String)| {
            (was != now)
                .then(|| format!("the {name} were {} and are {} now", shortened(was, 80), shortened(now, 80)))
        };
        listed(&lists[0]).or(number).or_else(|| lists[1..].iter().find_map(listed))
    }
}

fn close(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => (a - b).abs() <= TOLERANCE * (1.0 + a.abs().max(b.abs())),
        _ => false,
    }
}

/// What the engine answered.
fn recorded(results: &Results) -> Option<RecordedNumbers> {
    let (before, effect) = (results.prediction()?, &results.masked.as_ref()?.value);
    let defined = |x: Option<f32>| x.map(f64::from).filter(|x| x.is_finite());
    let ids = |all: &[crate::engine::types::Candidate]| all.iter().map(|c| c.id).collect();
    let map = results.map.as_ref().map(|m| &m.value.frame.values);
    Some(RecordedNumbers {
        score: results.scores.as_ref()?.value.formula.clone(),
        masked: results.decision()?.masked(),
        next: ids(&before.next),
        next_masked: ids(&effect.prediction.next),
        loss: defined(before.loss),
        loss_masked: defined(effect.prediction.loss),
        kl_nats: defined(Some(effect.kl)),
        map_squared: map
            .map(|all| all.iter().map(|v| f64::from(*v)).filter(|v| v.is_finite()).map(|v| v * v).sum()),
        settings: BTreeMap::new(),
    })
}

fn mark(value: &str) -> String {
    let mut hash = hex(&Sha256::digest(value.as_bytes()));
    hash.truncate(8);
    hash
}

/// Reads regions such as `3,5-7`; both ends count.
///
/// # Errors
/// What is no position or region, in a sentence.
pub fn pins(text: &str) -> Result<Vec<std::ops::Range<usize>>, String> {
    let region = |part: &str| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        match (from.trim().parse::<usize>(), to.trim().parse::<usize>()) {
            (Ok(from), Ok(to)) if from <= to && to < usize::MAX => Ok(from..to + 1),
            _ => Err(format!("{} is no position or region, such as 3 or 5-7", shortened(part, 40))),
        }
    };
    text.split(',').filter(|part| !part.trim().is_empty()).map(region).collect()
}

/// Regions as [`pins`] reads them.
pub fn pins_text(regions: &[std::ops::Range<usize>]) -> String {
    let region = |r: &std::ops::Range<usize>| match r.len() {
        1 => r.start.to_string(),
        _ => format!("{}-{}", r.start, r.end.saturating_sub(1)),
    };
    regions.iter().filter(|r| !r.is_empty()).map(region).collect::<Vec<_>>().join(",")
}
