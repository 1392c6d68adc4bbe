//! What a person can change and undo: text, mask, score, and which map is looked at. Pure.

use std::sync::Arc;

use crate::attention::types::ScoreSettings;
use crate::config::PRESETS;
use crate::engine::types::{GenerateSettings, HeadChoice, Interventions, MapKind};
use crate::mask::mix::Mix;
use crate::mask::rolling::RollingSettings;
use crate::mask::types::{MaskSettings, Op, Scope};
use crate::screen::explore::text::editor::Editor;
use crate::screen::options::Options;
use crate::screen::train::RunForm;

/// The preset that is what the program started with.
pub const DEFAULT: &str = "default";
/// The preset that is the article as printed.
pub const ARTICLE: &str = "article";

/// Everything undo brings back.
#[derive(Clone, Debug)]
pub struct Document {
    pub editor: Editor,
    pub mask: MaskSettings,
    pub score: ScoreSettings,
    /// How decisions roll along the text under scope `block`.
    pub rolling: RollingSettings,
    pub heads: HeadChoice,
    pub map: MapKind,
    /// What is done differently in the run without a mask.
    pub interventions: Arc<Interventions>,
    /// The next run.
    pub form: Arc<RunForm>,
    /// How tokens are drawn; no step of undo, since the text that was written has steps of its own.
    pub generate: GenerateSettings,
    /// Operation and mix that scope `block` could not do; they come back with scope `whole`.
    pub set_aside: Option<(Op, Option<Mix>)>,
}

/// A document as it was: one step of the history.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub text: Arc<str>,
    pub caret: usize,
    pub mask: MaskSettings,
    pub score: ScoreSettings,
    pub rolling: RollingSettings,
    pub heads: HeadChoice,
    pub map: MapKind,
    pub interventions: Arc<Interventions>,
    pub form: Arc<RunForm>,
}

impl Snapshot {
    /// Whether both describe the same document; where the caret stands does not matter.
    pub fn same(&self, other: &Snapshot) -> bool {
        (Arc::ptr_eq(&self.text, &other.text) || self.text == other.text)
            && self.mask == other.mask
            && self.score == other.score
            && self.rolling == other.rolling
            && self.heads == other.heads
            && self.map == other.map
            && self.interventions == other.interventions
            && self.form == other.form
    }
}

impl Document {
    pub fn new(options: &Options) -> Self {
        Document {
            editor: Editor::new(&options.text),
            mask: options.mask.clone(),
            score: options.score.clone(),
            rolling: options.rolling.clone(),
            heads: HeadChoice::default(),
            map: MapKind::Masked,
            interventions: Arc::default(),
            form: Arc::new(RunForm::new(&options.settings)),
            generate: options.settings.generate.clone(),
            set_aside: None,
        }
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            text: self.editor.text().clone(),
            caret: self.editor.caret(),
            mask: self.mask.clone(),
            score: self.score.clone(),
            rolling: self.rolling.clone(),
            heads: self.heads,
            map: self.map,
            interventions: self.interventions.clone(),
            form: self.form.clone(),
        }
    }

    pub fn restore(&mut self, s: Snapshot) {
        self.editor.restore(s.text, s.caret);
        self.mask = s.mask;
        self.score = s.score;
        self.rolling = s.rolling;
        self.heads = s.heads;
        self.map = s.map;
        self.interventions = s.interventions;
        self.form = s.form;
    }

    /// The preset in force, if the settings are exactly one (seed and pins aside).
    pub fn preset(&self, options: &Options) -> Option<&'static str> {
        names().find(|name| {
            let (mut mask, score, rolling) = settings_of(name, options);
            mask.seed = self.mask.seed;
            mask.pinned.clone_from(&self.mask.pinned);
            mask == self.mask
                && score == self.score
                && (mask.scope == Scope::Whole || rolling == self.rolling)
        })
    }

    /// The preset in force if τ and p are disregarded too.
    pub fn nearest_preset(&self, options: &Options) -> Option<&'static str> {
        names().find(|name| {
            let (mask, ..) = settings_of(name, options);
            let mut probe = self.clone();
            probe.mask.threshold = mask.threshold;
            probe.mask.probability = mask.probability;
            probe.preset(options) == Some(*name)
        })
    }

    /// Takes over a preset; seed and pins stay.
    pub fn take_preset(&mut self, name: &str, options: &Options) {
        let (mut mask, score, rolling) = settings_of(name, options);
        mask.seed = self.mask.seed;
        mask.pinned = std::mem::take(&mut self.mask.pinned);
        self.mask = mask;
        self.score = score;
        self.rolling = rolling;
        self.set_aside = None;
    }

    /// Pins a position, or unpins the pinned region that holds it.
    pub fn toggle_pin(&mut self, position: usize) {
        let pins = &mut self.mask.pinned;
        let mut kept: Vec<std::ops::Range<usize>> = Vec::with_capacity(pins.len() + 1);
        let mut was_pinned = false;
        for r in pins.drain(..) {
            if r.contains(&position) {
                was_pinned = true;
                kept.extend([r.start..position, position + 1..r.end].into_iter().filter(|r| !r.is_empty()));
            } else {
                kept.push(r);
            }
        }
        if !was_pinned {
            kept.push(position..position + 1);
            kept.sort_by_key(|r| r.start);
        }
        *pins = kept;
    }
}

/// Names of the presets, `default` first.
fn names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|p| p.name)
}

/// `default` is what the program started with, since that is what a person calls their own settings.
fn settings_of(name: &str, options: &Options) -> (MaskSettings, ScoreSettings, RollingSettings) {
    match options.presets.iter().find(|(preset, _)| *preset == name && name != DEFAULT) {
        Some((_, s)) => (s.mask.clone(), s.score.clone(), s.rolling.clone().settled()),
        None => (options.mask.clone(), options.score.clone(), options.rolling.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_split_and_come_back() {
        let mut doc = Document::new(&Options::default());
        doc.mask.pinned.push(2..6);
        doc.toggle_pin(3);
        assert_eq!(doc.mask.pinned, vec![2..3, 4..6]);
        doc.toggle_pin(3);
        assert_eq!(doc.mask.pinned, vec![2..3, 3..4, 4..6]);
    }

    #[test]
    fn presets_are_recognised_whatever_the_seed() {
        let options = Options::default();
        let mut doc = Document::new(&options);
        doc.mask.seed = 99;
        assert_eq!(doc.preset(&options), Some(DEFAULT));
        doc.take_preset(ARTICLE, &options);
        assert_eq!((doc.preset(&options), doc.mask.seed), (Some(ARTICLE), 99));
        doc.mask.threshold = 0.5;
        assert_eq!(doc.preset(&options), None);
    }
}
