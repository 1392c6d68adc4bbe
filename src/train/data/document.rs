//! A document: its text, and which parts of it the loss is on. Pure.

use std::ops::Range;

use crate::settings::choice;

choice! {
    /// Which tokens of prompts, instructions and conversations count in the loss; other text always counts whole.
    pub enum LossOn {
        /// every token
        All = "all",
        /// what the assistant says, and the end of it; the rest is read and not learned
        Answers = "answers",
    }
}

#[allow(clippy::derivable_impls, reason = "the variants are a macro's")]
impl Default for LossOn {
    /// What runs did before there was a choice.
    fn default() -> Self {
        LossOn::All
    }
}

/// A text that becomes tokens as a whole.
pub trait SourceText: Sync {
    fn text(&self) -> &str;

    /// Byte ranges of the text whose tokens count in the loss, ascending and apart; `None`: all of it.
    fn answers(&self) -> Option<&[Range<usize>]> {
        None
    }

    /// UTF-8 bytes of what counts.
    fn counted_bytes(&self) -> usize {
        self.answers().map_or(self.text().len(), |answers| answers.iter().map(Range::len).sum())
    }
}

impl SourceText for String {
    fn text(&self) -> &str {
        self
    }
}

/// A document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TextDocument {
    pub text: String,
    /// As [`SourceText::answers`] gives it.
    pub answers: Option<Vec<Range<usize>>>,
}

impl SourceText for TextDocument {
    fn text(&self) -> &str {
        &self.text
    }

    fn answers(&self) -> Option<&[Range<usize>]> {
        self.answers.as_deref()
    }
}

impl From<String> for TextDocument {
    fn from(text: String) -> Self {
        TextDocument { text, answers: None }
    }
}

/// For each token with the byte range that it stands for, whether it counts: those that share a byte with an answer do.
pub fn counted(answers: &[Range<usize>], spans: impl Iterator<Item = (usize, usize)>) -> Vec<bool> {
    let mut next = 0;
    let mut counts = |(from, to): (usize, usize)| {
        while answers.get(next).is_some_and(|answer| answer.end <= from) {
            next += 1;
        }
        answers.get(next).is_some_and(|answer| answer.start < to && from < to)
    };
    spans.map(&mut counts).collect()
}

/// Whether the mark at the end of a text counts: it ends an answer, blanks aside.
pub fn ends_with_answer(text: &str, answers: &[Range<usize>]) -> bool {
    answers.last().is_some_and(|last| text.get(last.end..).is_some_and(|rest| rest.trim().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_share_a_byte_with_an_answer_count() {
        let spans = [(0, 3), (3, 6), (6, 6), (6, 9), (9, 10), (10, 14)];
        let only = |answer: Range<usize>| [answer];
        let of = |answers: &[Range<usize>]| counted(answers, spans.into_iter());
        assert_eq!(of(&[4..7, 10..14]), [false, true, false, true, false, true]);
        assert_eq!(of(&[]), [false; 6]);
        assert_eq!(of(&only(0..14)), [true, true, false, true, true, true]);
        assert!(ends_with_answer("ask: say\n", &only(5..8)) && !ends_with_answer("ask: say so", &only(5..8)));
    }
}
