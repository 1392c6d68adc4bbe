//! The text being explored: a string, a caret, a selection. Pure; undo lives in `history`, drawing in the screen.

use std::sync::Arc;

use unicode_segmentation::UnicodeSegmentation;

use crate::screen::explore::text::wrap;

/// Where to move the caret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motion {
    Left,
    Right,
    Up,
    Down,
    WordLeft,
    WordRight,
    Home,
    End,
    PageUp,
    PageDown,
    Top,
    Bottom,
}

/// A text with a caret. All offsets are bytes on grapheme boundaries.
#[derive(Clone, Debug)]
pub struct Editor {
    text: Arc<str>,
    /// Start of every hard line.
    lines: Arc<[usize]>,
    caret: usize,
    anchor: Option<usize>,
    /// Column that up and down aim for.
    goal: Option<usize>,
}

impl Editor {
    /// Takes over a text, with `\r\n` and `\r` made `\n`; the caret at its end.
    pub fn new(text: &str) -> Self {
        let text = normal(text);
        let caret = text.len();
        Editor { lines: line_starts(&text), text: text.into(), caret, anchor: None, goal: None }
    }

    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    pub fn caret(&self) -> usize {
        self.caret
    }

    /// The selected bytes, if any are.
    pub fn selection(&self) -> Option<std::ops::Range<usize>> {
        let anchor = self.anchor?;
        (anchor != self.caret).then(|| anchor.min(self.caret)..anchor.max(self.caret))
    }

    pub fn selected(&self) -> Option<&str> {
        self.selection().map(|r| &self.text[r])
    }

    pub fn line_count(&self) -> usize {
        self.lines.len()
    }

    /// Byte offset at which hard line `i` starts.
    pub fn line_start(&self, i: usize) -> usize {
        self.lines.get(i).copied().unwrap_or(self.text.len())
    }

    /// Hard line `i`, without its line break.
    pub fn line(&self, i: usize) -> &str {
        let start = self.line_start(i);
        let end = self.lines.get(i + 1).map_or(self.text.len(), |next| next - 1);
        &self.text[start..end]
    }

    /// The hard line that holds a byte offset.
    pub fn line_of(&self, offset: usize) -> usize {
        self.lines.partition_point(|s| *s <= offset).saturating_sub(1)
    }

    /// Puts caret and selection where an undo step had them.
    pub fn restore(&mut self, text: Arc<str>, caret: usize) {
        if !Arc::ptr_eq(&text, &self.text) {
            self.lines = line_starts(&text);
            self.text = text;
        }
        self.caret = self.boundary(caret);
        self.anchor = None;
        self.goal = None;
    }

    /// The nearest grapheme boundary at or before `offset`.
    fn boundary(&self, offset: usize) -> usize {
        let offset = offset.min(self.text.len());
        if offset == self.text.len() {
            return offset;
        }
        let start = self.line_start(self.line_of(offset));
        let tail = &self.text[start..];
        tail.grapheme_indices(true)
            .map(|(i, _)| start + i)
            .take_while(|i| *i <= offset)
            .last()
            .unwrap_or(start)
    }

    /// Replaces the selection (or nothing) by `s` and puts the caret behind it.
    pub fn insert(&mut self, s: &str) {
        let range = self.selection().unwrap_or(self.caret..self.caret);
        self.splice(range, &normal(s));
    }

    fn splice(&mut self, range: std::ops::Range<usize>, s: &str) {
        let mut text = String::with_capacity(self.text.len() + s.len());
        text.push_str(&self.text[..range.start]);
        text.push_str(s);
        text.push_str(&self.text[range.end..]);
        self.caret = range.start + s.len();
        self.lines = line_starts(&text);
        self.text = text.into();
        // A combining mark typed after its base joins it: the caret may now stand inside a grapheme.
        let after = self.boundary(self.caret);
        if after != self.caret {
            self.caret = self.next_boundary(after);
        }
        self.anchor = None;
        self.goal = None;
    }

    fn next_boundary(&self, offset: usize) -> usize {
        self.text[offset..].graphemes(true).next().map_or(offset, |g| offset + g.len())
    }

    fn previous_boundary(&self, offset: usize) -> usize {
        let start = self.line_start(self.line_of(offset));
        if offset == start {
            return offset.saturating_sub(1);
        }
        self.text[start..offset].grapheme_indices(true).next_back().map_or(start, |(i, _)| start + i)
    }

    /// Deletes the selection, or from the caret to where `motion` leads.
    pub fn delete(&mut self, motion: Motion) {
        let range = self.selection().unwrap_or_else(|| {
            let to = self.target(motion, usize::MAX, 1).0;
            self.caret.min(to)..self.caret.max(to)
        });
        if !range.is_empty() {
            self.splice(range, "");
        }
    }

    /// Moves the caret; `extend` grows the selection. `columns` and `page` are the editor's size on screen.
    pub fn go(&mut self, motion: Motion, extend: bool, columns: usize, page: usize) {
        if !extend && let (Some(range), Motion::Left | Motion::Right) = (self.selection(), motion) {
            let to = if motion == Motion::Left { range.start } else { range.end };
            return self.place(to, false);
        }
        let (to, goal) = self.target(motion, columns, page);
        self.place(to, extend);
        self.goal = goal;
    }

    /// Puts the caret at a byte offset, e.g. where the mouse is.
    pub fn place(&mut self, offset: usize, extend: bool) {
        self.anchor = if extend { Some(self.anchor.unwrap_or(self.caret)) } else { None };
        self.caret = self.boundary(offset);
        self.goal = None;
    }

    pub fn select_all(&mut self) {
        self.anchor = Some(0);
        self.caret = self.text.len();
    }

    fn target(&self, motion: Motion, columns: usize, page: usize) -> (usize, Option<usize>) {
        let line = self.line_of(self.caret);
        let to = match motion {
            Motion::Left => self.previous_boundary(self.caret),
            Motion::Right => self.next_boundary(self.caret),
            Motion::Home => self.line_start(line),
            Motion::End => self.line_start(line) + self.line(line).len(),
            Motion::Top => 0,
            Motion::Bottom => self.text.len(),
            Motion::WordLeft => self.word_left(),
            Motion::WordRight => self.word_right(),
            Motion::Up => return self.vertical(-1, columns),
            Motion::Down => return self.vertical(1, columns),
            Motion::PageUp => return self.vertical(-(page.max(1) as isize), columns),
            Motion::PageDown => return self.vertical(page.max(1) as isize, columns),
        };
        (to, None)
    }

    fn word_left(&self) -> usize {
        let line = self.line_start(self.line_of(self.caret));
        if self.caret == line {
            return self.previous_boundary(self.caret);
        }
        // Only this line: a text may be a whole book.
        let before = &self.text[line..self.caret];
        before.unicode_word_indices().next_back().map_or(line, |(i, _)| line + i)
    }

    fn word_right(&self) -> usize {
        let end_line = (self.line_of(self.caret) + 2).min(self.line_count());
        let end = self.line_start(end_line);
        let found =
            self.text[self.caret..end].unicode_word_indices().next().map(|(i, w)| self.caret + i + w.len());
        found.unwrap_or(end)
    }

    /// `delta` soft-wrapped rows down (up where negative), keeping the column.
    fn vertical(&self, delta: isize, columns: usize) -> (usize, Option<usize>) {
        let mut line = self.line_of(self.caret);
        let mut rows = wrap::rows(self.line(line), columns);
        let (mut row, column) = wrap::locate(self.line(line), &rows, self.caret - self.line_start(line));
        let goal = self.goal.unwrap_or(column);
        for _ in 0..delta.unsigned_abs() {
            if delta < 0 && row > 0 {
                row -= 1;
            } else if delta < 0 && line > 0 {
                line -= 1;
                rows = wrap::rows(self.line(line), columns);
                row = rows.len() - 1;
            } else if delta < 0 {
                return (0, Some(goal));
            } else if row + 1 < rows.len() {
                row += 1;
            } else if line + 1 < self.line_count() {
                line += 1;
                rows = wrap::rows(self.line(line), columns);
                row = 0;
            } else {
                return (self.text.len(), Some(goal));
            }
        }
        let at = wrap::offset_at(self.line(line), &rows[row], goal, row + 1 == rows.len());
        (self.line_start(line) + at, Some(goal))
    }
}

fn normal(s: &str) -> String {
    if s.contains('\r') { s.replace("\r\n", "\n").replace('\r', "\n") } else { s.to_owned() }
}

fn line_starts(text: &str) -> Arc<[usize]> {
    std::iter::once(0)
        .chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str, caret: usize) -> Editor {
        let mut e = Editor::new(text);
        e.place(caret, false);
        e
    }

    #[test]
    fn typing_deleting_and_selecting() {
        let mut e = at("hello world", 5);
        e.insert(",");
        assert_eq!(&**e.text(), "hello, world");
        e.go(Motion::WordRight, true, 80, 5);
        assert_eq!(e.selected(), Some(" world"));
        e.insert("!");
        assert_eq!(&**e.text(), "hello,!");
        e.delete(Motion::WordLeft);
        assert_eq!(&**e.text(), "");
        e.delete(Motion::Left);
        assert_eq!(&**e.text(), "");
    }

    #[test]
    fn graphemes_are_never_split() {
        let mut e = at("a👩‍🚀e\u{301}", 0);
        e.go(Motion::Right, false, 80, 5);
        e.go(Motion::Right, false, 80, 5);
        e.delete(Motion::Left);
        assert_eq!(&**e.text(), "ae\u{301}");
        e.go(Motion::Right, false, 80, 5);
        assert_eq!(e.caret(), e.text().len());
        e.delete(Motion::Left);
        assert_eq!(&**e.text(), "a");
    }

    #[test]
    fn up_and_down_follow_wrapped_rows_and_keep_the_column() {
        let mut e = at("the quick brown fox\nab", 17);
        e.go(Motion::Up, false, 10, 5);
        assert_eq!(e.caret(), 7);
        e.go(Motion::Down, false, 10, 5);
        assert_eq!(e.caret(), 17);
        e.go(Motion::Down, false, 10, 5);
        assert_eq!(e.caret(), 22);
        e.go(Motion::Up, false, 10, 5);
        assert_eq!(e.caret(), 17);
        e.go(Motion::Up, false, 10, 5);
        e.go(Motion::Up, false, 10, 5);
        assert_eq!(e.caret(), 0);
    }

    #[test]
    fn line_ends_are_made_one() {
        let e = Editor::new("a\r\nb\rc");
        assert_eq!(&**e.text(), "a\nb\nc");
        assert_eq!((e.line_count(), e.line(1)), (3, "b"));
    }

    #[test]
    fn words_across_line_breaks() {
        let mut e = at("one two\nthree", 8);
        e.go(Motion::WordLeft, false, 80, 5);
        assert_eq!(e.caret(), 7);
        e.go(Motion::WordLeft, false, 80, 5);
        assert_eq!(e.caret(), 4);
        e.go(Motion::WordRight, false, 80, 5);
        e.go(Motion::WordRight, false, 80, 5);
        assert_eq!(e.caret(), 13);
    }

    proptest! {
        #[test]
        fn any_editing_keeps_the_caret_on_a_boundary(
            start in "[a-z \n漢é\u{301}👩‍🚀]{0,40}",
            moves in proptest::collection::vec((0usize..12, any::<bool>(), 0u8..4), 0..40),
        ) {
            const ALL: [Motion; 12] = [
                Motion::Left, Motion::Right, Motion::Up, Motion::Down, Motion::WordLeft, Motion::WordRight,
                Motion::Home, Motion::End, Motion::PageUp, Motion::PageDown, Motion::Top, Motion::Bottom,
            ];
            let mut e = Editor::new(&start);
            for (m, extend, kind) in moves {
                match kind {
                    0 => e.insert("\u{301}x\n"),
                    1 => e.delete(ALL[m]),
                    _ => e.go(ALL[m], extend, 7, 3),
                }
                prop_assert!(e.text().is_char_boundary(e.caret()));
                let boundary = e.caret() == e.text().len()
                    || e.text().grapheme_indices(true).any(|(i, _)| i == e.caret());
                prop_assert!(boundary, "{:?} {}", e.text(), e.caret());
                prop_assert_eq!(e.lines.clone(), line_starts(e.text()));
            }
        }
    }
}
