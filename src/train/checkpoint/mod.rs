//! Checkpoints: numbered Hugging Face folders, each written aside, synced and renamed, so that a folder that exists is
//! whole and killing the program at any moment costs at most the steps since the last one.
//!
//! A run folder holds `run.json` (the run's settings), `checkpoints/step-N/` (weights, tokenizer, and beside them
//! `trainer.json` and `trainer.safetensors` with everything a resume needs), and at its top the files of
//! the checkpoint with the lowest validation loss (without validation, of the newest) again, as hard links, so that the
//! run folder itself is a model folder. A resume takes the newest.

pub mod disk;
pub mod files;
pub mod folder;
pub mod peft;
pub mod renamed;
pub mod state;

use crate::settings::choice;

choice! {
    /// Number format of saved weights.
    pub enum SavedDtype {
        /// as trained
        F32 = "f32",
        /// half the size, rounded
        F16 = "f16",
    }
}
