//! The form of a run: its settings, and the request that comes of them. Part of the document, so that undo brings it
//! back. Pure.

use std::path::Path;

use crate::attention::types::ScoreSettings;
use crate::config::Settings;
use crate::mask::types::MaskSettings;
use crate::settings::{optional, settings};
use crate::train::data::{BUNDLED, forms};
use crate::train::settings::TrainSettings;
use crate::train::spec::Arm;

optional!(Arm, "explorer", "exactly what the explorer does now: τ, p, polarity, score, operation");

settings! {
    /// What belongs to one run alone
    pub struct RunSettings in "run" {
        /// Texts, JSON, CSV, TSV, Parquet, a folder, or datasets/owner/name of the Hub; novels is bundled, 130 KB
        data: String = BUNDLED.to_owned(), path();
        /// Column of the text or the conversations; empty takes text, messages, or the only one there is
        column: String = String::new() => |run| run.may_be_table();
        /// What losses are measured on; empty holds out the last tenth of the documents
        validation: String = String::new(), path();
        /// Who is masked: the explorer's exact policy, nobody, or one of the training arms
        masking: Option<Arm> = None;
        /// The run ends after so many minutes even if steps are left; 0 sets no limit
        minutes: f64 = 0.0, range(0.0, 1_000_000.0, 1.0, 0.1);
        /// Folder of the run; empty makes a new one among your runs
        out: String = String::new(), label("output folder"), path();
    }
}

impl RunSettings {
    /// A folder's name does not tell what lies in it.
    fn may_be_table(&self) -> bool {
        let folder = forms::extension(Path::new(&self.data)).is_empty() && self.data != BUNDLED;
        forms::has_columns(&self.data) || folder
    }
}

/// What the next run is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Form {
    pub run: RunSettings,
    pub train: TrainSettings,
}

/// What starting a run asks for; the port makes a spec of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRequest {
    /// Model id or folder.
    pub model: String,
    pub run: RunSettings,
    pub train: TrainSettings,
    /// The explorer's exact policy, where the run is to mask by it.
    pub policy: Option<MaskSettings>,
    pub score: ScoreSettings,
}

impl Form {
    /// The form with the configured values.
    pub fn new(settings: Option<&Settings>) -> Self {
        let train = settings.map(|s| s.train.clone()).unwrap_or_default();
        // A plain fine-tune is the exception here: the explorer is open, with a mask.
        let masking = Some(train.arm).filter(|arm| *arm != Arm::None);
        Form { run: RunSettings { masking, ..RunSettings::default() }, train }
    }

    /// Whether the run masks by the explorer's policy.
    pub fn explorers_policy(&self) -> bool {
        self.run.masking.is_none()
    }

    /// The request for a run of `model` under the explorer's settings.
    pub fn request(&self, model: &str, mask: &MaskSettings, score: &ScoreSettings) -> RunRequest {
        let arm = self.run.masking.unwrap_or(self.train.arm);
        // Twins bring their own arms; the explorer's policy is none of them.
        let policy = (self.explorers_policy() && self.train.twins.is_none()).then(|| mask.clone());
        RunRequest {
            model: model.to_owned(),
            run: self.run.clone(),
            train: TrainSettings { arm, ..self.train.clone() },
            policy,
            score: score.clone(),
        }
    }
}
