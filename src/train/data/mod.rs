//! Text to training sequences: documents from files and tables, a split by document, tokens packed to the context with
//! boundaries, a cache of tokens, and an order of visits that depends on the seed alone.
//!
//! Runs on the trainer's thread before a run starts, spread over rayon's pool. Must never hold a file open after it
//! has read it, and never guess at damaged bytes.

mod cache;
pub(crate) mod chat;
mod chat_template;
mod cut;
mod document;
mod file;
pub mod forms;
#[cfg(test)]
mod forms_tests;
mod json;
mod order;
mod pack;
mod part;
mod read;
mod remote;
mod rows;
mod source;
pub mod synthetic;
#[cfg(test)]
mod synthetic_tests;
mod table;

pub use cache::TokenCache;
pub use chat::ChatStyle;
pub use chat_template::ChatTemplate;
pub use cut::{Cut, CutRows, RowPacking};
pub use document::{LossOn, SourceText, TextDocument};
pub use order::Order;
pub use pack::Corpus;
pub use read::{
    Account, BUNDLED, Found, LabelledRows, ReadOptions, documents_of, is_bundled, read, read_labelled,
};
pub use remote::{Located, locate};
pub use source::{Corpora, Documents, Measured, cache_folder};

use std::collections::{HashMap, HashSet};

use crate::mask::draw::{Draws, Stream};

/// A `share` of the documents for validation, at least one when there are two different ones; whole documents only, drawn
/// from all of them by `seed` (without one, the last). Equal documents stay on one side; both sides keep their order.
pub fn split(
    documents: Vec<TextDocument>,
    share: f64,
    seed: Option<u64>,
) -> (Vec<TextDocument>, Vec<TextDocument>) {
    if share <= 0.0 || documents.len() < 2 {
        return (documents, Vec::new());
    }
    let n = ((documents.len() as f64 * share).round() as usize).clamp(1, documents.len() - 1);
    let Some(seed) = seed else {
        let mut train = documents;
        let held = train.split_off(train.len() - n);
        return (train, held);
    };
    let mut copies: HashMap<&str, usize> = HashMap::new();
    documents.iter().for_each(|d| *copies.entry(d.text.as_str()).or_default() += 1);
    let (mut held, mut count) = (HashSet::new(), 0);
    for index in drawn_order(documents.len(), seed) {
        let (text, left) = (documents[index].text.as_str(), documents.len() - count);
        // A text that is there many times may be more than the share, or all there is.
        let fits = copies[text] <= (n - count).max(if count == 0 { left - 1 } else { 0 });
        if fits && held.insert(text) {
            count += copies[text];
        }
        if count >= n {
            break;
        }
    }
    let sides: Vec<bool> = documents.iter().map(|d| held.contains(d.text.as_str())).collect();
    let (mut train, mut out) = (Vec::new(), Vec::new());
    for (document, held) in documents.into_iter().zip(sides) {
        if held { out.push(document) } else { train.push(document) }
    }
    (train, out)
}

/// The numbers below `n` in an order drawn from `seed` (Fisher and Yates).
fn drawn_order(n: usize, seed: u64) -> Vec<usize> {
    let draws = Draws { seed, ..Draws::default() };
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, draws.below(Stream::Split, i, i + 1));
    }
    order
}

/// Leaves out documents of `held` that are also, word for word, in `train`: a validation loss on them would say
/// nothing. Returns how many were left out.
pub fn remove_shared(train: &[TextDocument], held: &mut Vec<TextDocument>) -> usize {
    let known: HashSet<&str> = train.iter().map(|document| document.text.as_str()).collect();
    let before = held.len();
    held.retain(|document| !known.contains(document.text.as_str()));
    before - held.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(documents: Vec<String>, share: f64, seed: Option<u64>) -> (Vec<String>, Vec<String>) {
        let (train, held) =
            super::split(documents.into_iter().map(TextDocument::from).collect(), share, seed);
        let texts = |side: Vec<TextDocument>| side.into_iter().map(|document| document.text).collect();
        (texts(train), texts(held))
    }

    #[test]
    fn documents_are_split_whole_and_shared_ones_are_found() {
        let documents: Vec<String> = (0..10).map(|i| format!("d{i}")).collect();
        let (train, mut held) = split(documents.clone(), 0.25, None);
        assert_eq!((train.len(), held.len()), (7, 3));
        assert_eq!(held[0], "d7");
        assert_eq!(split(documents[..1].to_vec(), 0.5, Some(1)), (vec!["d0".to_owned()], vec![]));
        assert_eq!(split(documents[..2].to_vec(), 0.01, None).1, ["d1"], "one at least");
        held.push("d1".to_owned());
        let documents = |side: &[String]| side.iter().cloned().map(TextDocument::from).collect::<Vec<_>>();
        let mut held = documents(&held);
        assert_eq!((remove_shared(&documents(&train), &mut held), held.len()), (1, 3));
    }

    #[test]
    fn the_held_out_share_is_drawn_from_everywhere_and_equal_documents_stay_together() {
        let documents: Vec<String> =
            (0..400).map(|i| format!("d{}", if i % 4 == 3 { i % 40 } else { i })).collect();
        let (train, held) = split(documents.clone(), 0.1, Some(5));
        assert_eq!(train.len() + held.len(), 400);
        assert!((35..=41).contains(&held.len()), "{}", held.len());
        let known: HashSet<&String> = train.iter().collect();
        assert!(held.iter().all(|d| !known.contains(d)), "no document is on both sides");
        let at = |d: &String| documents.iter().position(|x| x == d).unwrap();
        let early = held.iter().filter(|d| at(d) < 200).count();
        assert!((8..=33).contains(&early), "{early} of {} from the first half", held.len());
        let once: Vec<usize> = held.iter().map(at).filter(|i| i % 4 != 3 && *i != 0 && i % 40 != 3).collect();
        assert!(once.is_sorted(), "in their order");
        assert_eq!(split(documents.clone(), 0.1, Some(5)).1, held);
        assert_ne!(split(documents, 0.1, Some(6)).1, held);
        let same = vec!["x".to_owned(); 8];
        assert_eq!(split(same.clone(), 0.1, Some(1)), (same, vec![]), "one text cannot be split");
        let two: Vec<String> = ["x", "x", "x", "y"].map(str::to_owned).to_vec();
        assert_eq!(split(two, 0.1, Some(3)).1.len() % 2, 1, "one of the two texts is held out");
    }
}
