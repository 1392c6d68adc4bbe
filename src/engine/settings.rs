//! What a person may set about what is loaded and what it runs on.

use crate::model::WeightType;
use crate::settings::settings;
use crate::tensor::device::DeviceChoice;

settings! {
    /// What is loaded, and where it runs
    pub struct ModelSettings in "model" {
        /// Model: demo or copier (bundled), a folder, or a Hub id such as openai-community/gpt2
        id: String = "demo".to_owned(), label("model");
        /// Branch, tag or commit of a Hub model
        revision: String = "main".to_owned();
        /// Hub model that the explorer offers beside the bundled one
        hub_id: String = "openai-community/gpt2".to_owned(), label("Hub model");
        /// Where the model runs
        device: DeviceChoice = DeviceChoice::Auto;
    }
}

impl ModelSettings {
    /// What to load: the id with its revision, where one is set.
    pub fn spec(&self) -> String {
        if self.revision.is_empty()
            || self.revision == "main"
            || self.id == "demo"
            || self.id == "copier"
            || self.id.contains('@')
        {
            self.id.clone()
        } else {
            format!("{}@{}", self.id, self.revision)
        }
    }
}

settings! {
    /// Threads and number formats
    pub struct ComputeSettings in "compute" {
        /// Threads for the explorer's forward passes; auto takes every core
        threads_explorer: Option<usize> = None, label("explorer threads"), word("auto"), whole(1, 1024);
        /// Threads for training; auto leaves one core to the screen
        threads_trainer: Option<usize> = None, label("trainer threads"), word("auto"), whole(1, 1024);
        /// How the explorer keeps matrices on the CPU
        /// Commands always compute in f32.
        weights: WeightType = WeightType::F32;
    }
}
