//! Text to training sequences: documents from files and tables, a split by document, tokens packed to the context with
//! boundaries, a cache of tokens, and an order of visits that depends on the seed alone.
//!
//! Runs on the trainer's thread before a run starts, spread over rayon's pool. Must never hold a file open after it
//! has read it, and never guess at damaged bytes.

mod cache;
mod chat;
mod file;
pub mod forms;
#[cfg(test)]
mod forms_tests;
mod json;
mod order;
mod pack;
mod read;
mod remote;
mod rows;
mod source;
mod table;

pub use cache::TokenCache;
pub use chat::ChatStyle;
pub use order::Order;
pub use pack::Corpus;
pub use read::{Account, BUNDLED, Found, ReadOptions, documents_of, read};
pub use remote::{Located, locate};
pub use source::{Corpora, Documents, cache_folder};

/// The last `share` of the documents for validation, at least one when there are two; whole documents only.
pub fn split(documents: Vec<String>, share: f64) -> (Vec<String>, Vec<String>) {
    if share <= 0.0 || documents.len() < 2 {
        return (documents, Vec::new());
    }
    let n = ((documents.len() as f64 * share).round() as usize).clamp(1, documents.len() - 1);
    let mut train = documents;
    let held = train.split_off(train.len() - n);
    (train, held)
}

/// Leaves out documents of `held` that are also, word for word, in `train`: a validation loss on them would say
/// nothing. Returns how many were left out.
pub fn remove_shared(train: &[String], held: &mut Vec<String>) -> usize {
    let known: std::collections::HashSet<&str> = train.iter().map(String::as_str).collect();
    let before = held.len();
    held.retain(|document| !known.contains(document.as_str()));
    before - held.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_split_whole_and_shared_ones_are_found() {
        let documents: Vec<String> = (0..10).map(|i| format!("d{i}")).collect();
        let (train, mut held) = split(documents.clone(), 0.25);
        assert_eq!((train.len(), held.len()), (7, 3));
        assert_eq!(held[0], "d7");
        assert_eq!(split(documents[..1].to_vec(), 0.5), (vec!["d0".to_owned()], vec![]));
        assert_eq!(split(documents[..2].to_vec(), 0.01).1, ["d1"], "one at least");
        held.push("d1".to_owned());
        assert_eq!((remove_shared(&train, &mut held), held.len()), (1, 3));
    }
}
