//! What differs between two states of the document, in words: what undo and redo say they did.

use crate::engine::types::Interventions;
use crate::mask::types::MaskSettings;
use crate::screen::app::App;
use crate::screen::document::{Document, Snapshot};
use crate::screen::explore::map;
use crate::screen::params::{self, PRESET};
use crate::support::visible::{fit, visible};

/// More changes than these are counted.
const NAMED: usize = 3;
/// Columns of a piece of text that is quoted.
const QUOTED: usize = 24;

/// What changes from `from` to `to`, in a few words.
pub fn between(app: &App, from: &Snapshot, to: &Snapshot) -> String {
    let mut out = Vec::new();
    if from.text != to.text {
        out.push(text(&from.text, &to.text));
    }
    let of = |snapshot: &Snapshot| {
        let mut doc = app.doc.clone();
        doc.restore(snapshot.clone());
        doc
    };
    let (before, after) = (of(from), of(to));
    settings(app, &before, &after, &mut out);
    if from.mask.pinned != to.mask.pinned {
        out.push("the pinned tokens".to_owned());
    }
    if from.heads != to.heads {
        out.push(format!("map: {}", map::heads_name(app, to.heads)));
    }
    if from.map != to.map {
        out.push(format!("map: {}", map::kind_name(to.map)));
    }
    if from.interventions != to.interventions {
        out.push(interventions(&from.interventions, &to.interventions));
    }
    let more = out.len().saturating_sub(NAMED);
    out.truncate(NAMED);
    if more > 0 {
        out.push(format!("{more} more"));
    }
    out.join(", ")
}

/// Settings with their old and new values; a preset taken as a whole is one change.
fn settings(app: &App, before: &Document, after: &Document, out: &mut Vec<String>) {
    let value = |doc: &Document, path| params::text(doc, &app.options, path);
    let changed: Vec<params::Path> =
        params::all().filter(|path| *path != PRESET && value(before, path) != value(after, path)).collect();
    let (old, new) = (before.preset(&app.options), after.preset(&app.options));
    if let (Some(old), Some(new), true) = (old, new, changed.len() > 1 && old != new) {
        return out.push(format!("preset {old} → {new}"));
    }
    for path in changed {
        let name = if path == MaskSettings::threshold || path == MaskSettings::probability {
            params::row(path).symbol
        } else {
            params::row(path).name()
        };
        out.push(format!("{name} {} → {}", value(before, path), value(after, path)));
    }
}

/// The intervention that came, went or changed.
fn interventions(from: &Interventions, to: &Interventions) -> String {
    let only = |a: &Interventions, b: &Interventions| {
        let item = a.list.iter().find(|item| !b.list.contains(item));
        item.map(|item| format!("{}{}", item.what, if item.on { "" } else { " off" }))
    };
    match (only(from, to), only(to, from)) {
        (Some(gone), Some(new)) => format!("{gone} → {new}"),
        (Some(gone), None) => format!("without {gone}"),
        (None, Some(new)) => format!("with {new}"),
        (None, None) if from.other != to.other => "the other text".to_owned(),
        (None, None) => "the contrast".to_owned(),
    }
}

/// The piece of text that came or went.
fn text(from: &str, to: &str) -> String {
    let start = common(from.chars(), to.chars());
    let (a, b): (Vec<char>, Vec<char>) =
        (from.chars().skip(start).collect(), to.chars().skip(start).collect());
    let end = common(a.iter().rev().copied(), b.iter().rev().copied());
    let piece = |chars: &[char]| {
        let piece: String = chars[..chars.len() - end].iter().collect();
        fit(&visible(&piece), QUOTED, "…")
    };
    match (piece(&a), piece(&b)) {
        (gone, new) if new.is_empty() => format!("the text without “{gone}”"),
        (gone, new) if gone.is_empty() => format!("the text with “{new}”"),
        (gone, new) => format!("the text with “{new}” for “{gone}”"),
    }
}

/// How many characters both begin with.
fn common(a: impl Iterator<Item = char>, b: impl Iterator<Item = char>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_piece_of_text_that_came_or_went_is_quoted() {
        assert_eq!(text("one two", "one two three"), "the text with “ three”");
        assert_eq!(text("one big cat", "one cat"), "the text without “big ”");
        assert_eq!(text("a cat", "a dog"), "the text with “dog” for “cat”");
    }
}
