//! The data of a run, from what its spec names to tokens: Hub data sets fetched, files read, documents split, tokens
//! taken from the cache where they were made before. Runs on the caller's thread.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::{
    ChatStyle, Corpus, Found, Located, ReadOptions, SourceText as _, TextDocument, TokenCache, locate, read,
    remove_shared, split,
};
use crate::hub::{FetchProgress, HubOptions};
use crate::model::Tokenizer;
use crate::train::TrainError;
use crate::train::records::MachineGauge;
use crate::train::spec::DataSpec;

/// Bytes of text from which tokens are kept on disk: less is tokenised faster than it is looked up.
const KEPT_FROM: usize = 1 << 20;

/// Training tokens, and held-out ones where there are any.
pub type Corpora = (Arc<Corpus>, Option<Arc<Corpus>>);

/// How much of the held-out text evaluations read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// None is all of it.
    pub tokens: Option<usize>,
    /// Which documents those are.
    pub seed: u64,
}

/// The documents of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Documents {
    pub train: Vec<TextDocument>,
    pub held: Vec<TextDocument>,
    /// Notes for the user: what was left out, and why nothing is held out.
    pub notes: Vec<String>,
}

impl Documents {
    /// Fetches and reads what `data` names, conversations in the given style. Without validation files, what a data set
    /// holds out by itself is taken, or else a share of the documents.
    ///
    /// # Errors
    /// As [`locate`] and [`read`]; held-out text that is all part of the training text.
    pub fn open(
        data: &DataSpec,
        style: &ChatStyle,
        options: &HubOptions,
        progress: &mut dyn FnMut(&FetchProgress),
        cancel: &AtomicBool,
    ) -> Result<Self, TrainError> {
        let how = ReadOptions { column: data.column.as_deref(), style, memory: MachineGauge::available() };
        let found = locate(&data.train, options, progress, cancel)?;
        let Found { documents: train, account } = read(&found.train, &how)?;
        let mut notes = account.sentences(style);
        let held = match (data.validation.is_empty(), found.held.is_empty()) {
            (true, true) => {
                let (train, held) = split(train, data.held_share, data.held_seed);
                if held.is_empty() && data.held_share > 0.0 {
                    notes.push(
                        "no validation loss: the data is one document, or copies of one; pass others with --validation"
                            .to_owned(),
                    );
                } else if data.held_seed.is_some() {
                    notes.push(format!("validation: {} documents drawn from the whole text", held.len()));
                }
                return Ok(Documents { train, held, notes });
            }
            (true, false) => found.held,
            (false, _) => {
                let Located { train, held } = locate(&data.validation, options, progress, cancel)?;
                if held.is_empty() { train } else { held }
            }
        };
        let Found { documents: mut held, account } = read(&held, &how)?;
        notes.extend(account.sentences(style).into_iter().map(|note| format!("validation: {note}")));
        let shared = remove_shared(&train, &mut held);
        if held.is_empty() {
            return Err(TrainError::Setup {
                problem: "every validation document is also in the training data".to_owned(),
                hint: Some("pass other validation data, or none to hold out a tenth".to_owned()),
            });
        }
        if shared > 0 {
            notes.push(format!(
                "{shared} validation documents are also in the training data and were left out"
            ));
        }
        Ok(Documents { train, held, notes })
    }

    /// Tokens of both parts, the held-out ones as far as they are `measured` (asked when the training text is known), and whether all of them came from the cache.
    ///
    /// # Errors
    /// Text that the tokenizer refuses.
    pub fn tokens(
        &mut self,
        tokenizer: &Tokenizer,
        cache: Option<&TokenCache>,
        measured: &mut dyn FnMut(&Corpus) -> Measured,
    ) -> Result<(Corpora, bool), TrainError> {
        let one = |documents: &[TextDocument]| -> Result<(Arc<Corpus>, bool), TrainError> {
            let large = documents.iter().map(|document| document.text.len()).sum::<usize>() >= KEPT_FROM;
            let (corpus, known) = match cache.filter(|_| large) {
                Some(cache) => cache.corpus(documents, tokenizer)?,
                None => (Corpus::new(documents, tokenizer)?, false),
            };
            Ok((Arc::new(corpus), known))
        };
        let (train, known) = one(&self.train)?;
        let measured = measured(&train);
        if train.counted.is_some() {
            self.notes.push(format!(
                "the loss is on the answers: {} of {} tokens count",
                train.labels(),
                train.tokens.len()
            ));
        }
        let mut held = if self.held.is_empty() { None } else { Some(one(&self.held)?.0) };
        if let (Some(all), Some(tokens)) = (&held, measured.tokens)
            && all.tokens.len() > tokens
        {
            let sizes: Vec<usize> = self.held.iter().map(TextDocument::counted_bytes).collect();
            let part = all.part(&sizes, tokens, measured.seed);
            self.notes.push(format!(
                "validation: {} of {} held-out tokens are measured; --validation-tokens takes more",
                part.tokens.len(),
                all.tokens.len()
            ));
            held = Some(Arc::new(part));
        }
        Ok(((train, held), known))
    }
}

/// Where tokens are kept.
pub fn cache_folder() -> Option<PathBuf> {
    crate::support::paths::cache("tokens")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validation_text_that_is_trained_on_is_left_out_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let train = file("a.txt", "one\n\ntwo\n\nthree");
        let open = |held: PathBuf| {
            let data = DataSpec { train: vec![train.clone()], validation: vec![held], ..DataSpec::default() };
            let style = ChatStyle::default();
            Documents::open(&data, &style, &HubOptions::default(), &mut |_| {}, &AtomicBool::new(false))
        };
        let got = open(file("b.txt", "two\n\nfour")).unwrap();
        assert_eq!((got.train.len(), got.held), (3, vec!["four".to_owned().into()]));
        assert_eq!(got.notes, ["1 validation documents are also in the training data and were left out"]);
        let problem = open(file("c.txt", "two\n\none")).unwrap_err();
        assert!(problem.to_string().contains("every validation document"), "{problem}");
    }
}
