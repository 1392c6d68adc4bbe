//! The palette: every action that makes sense to look for, by the words of its name and its line, by other words for it,
//! and by how often it was used.

use crate::screen::actions::{self, ASK, Action, ENTRY, LIST, MODEL_LIST, PAGE, TOUR};
use crate::screen::app::App;
use crate::screen::popups::fuzzy;
use crate::screen::popups::list::Entry;

/// Other words for actions.
const SYNONYMS: &[(&str, &str)] = &[
    ("quit", "exit leave close stop"),
    ("help", "keys legend manual symbols shortcuts"),
    ("explain", "what info describe tooltip"),
    ("tour", "tutorial introduction guide"),
    ("undo", "back revert"),
    ("redo", "forward again"),
    ("reroll", "random dice seed resample"),
    ("rerolls", "seeds average spread"),
    ("edit-text", "write type input prompt sentence"),
    ("example-text", "default demo sentence"),
    ("models", "load open checkpoint hub gpt2 download"),
    ("train", "fine-tune finetune learn"),
    ("generate", "continue sample write complete chat temperature top-k top-p"),
    ("dialogue", "chat talk conversation turns"),
    ("strike", "delete remove token regrow"),
    ("write-policy", "cache eviction h2o snapkv tova streamingllm"),
    ("map-kind", "baseline difference compare diff"),
    ("overview", "grid thumbnails heads layers"),
    ("effects", "operations compare side"),
    ("enlarge", "zoom maximise maximize fullscreen"),
    ("zoom-in", "larger magnify"),
    ("zoom-out", "smaller"),
    ("cost", "importance ablate knock-out honest faithful"),
    ("leak", "information reveal"),
    ("scope", "causal streaming window block"),
    ("policy", "cache eviction h2o snapkv tova streamingllm"),
    ("presets", "bert article h2o snapkv settings"),
    ("op", "operation replace hide drop delete evict skip keep"),
    ("replacement", "mask token mean random"),
    ("protect", "sink first pin"),
    ("pin", "protect lock keep"),
    ("colour-scale", "color colors palette log linear"),
    ("theme", "dark light color colors"),
    ("threshold-up", "tau"),
    ("threshold-down", "tau"),
    ("take-better-score", "best score cost"),
    ("sort-heads", "order induction sink entropy previous"),
];

/// What people look for that is not here, and what there is instead.
const ABSENT: &[(&str, &str)] = &[
    ("export save screenshot image png", "the commands print everything as JSON, e.g. maskscope mask --json"),
    ("language translate", "the program speaks English only"),
];

/// Actions that make sense from the palette: not the movements inside lists and pages.
fn offered(action: &Action) -> bool {
    ![ENTRY, LIST, MODEL_LIST, PAGE, ASK, TOUR].contains(&action.context)
}

fn synonyms(action: &Action) -> &'static str {
    SYNONYMS.iter().find(|(name, _)| *name == action.name).map_or("", |(_, words)| words)
}

/// How well all words that were typed fit an action: a word of its name counts most, then another word for it, then a
/// word of its line; `None` where one fits nothing.
fn words_fit(typed: &str, action: &Action) -> Option<i32> {
    let starts = |text: &str, word: &str| {
        text.split(|c: char| !c.is_alphanumeric()).any(|w| w.to_lowercase().starts_with(word))
    };
    let mut total = 0;
    let words = typed.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    for word in words.map(str::to_lowercase) {
        let name = starts(action.name, &word);
        total += match () {
            () if action.name == word => 40,
            () if name => 20,
            () if starts(synonyms(action), &word) => 15,
            () if starts(action.doc, &word) => 8,
            () => return None,
        };
    }
    Some(total - action.name.len() as i32 / 4)
}

/// Whether every word typed occurs in an action's name, line, keys or other words for it.
pub fn fits(typed: &str, action: &Action, keys: &str) -> bool {
    let all = format!("{} {} {keys} {}", action.name, action.doc, synonyms(action)).to_lowercase();
    typed.split_whitespace().all(|word| all.contains(&word.to_lowercase()))
}

/// What to say where nothing fits: whether it is something the program does not have.
pub fn nothing_called(typed: &str) -> String {
    let typed = typed.trim();
    let word = typed.to_lowercase();
    let known =
        ABSENT.iter().find(|(words, _)| words.split(' ').any(|w| word.len() > 2 && w.starts_with(&word)));
    match known {
        Some((_, instead)) => format!("nothing here is called “{typed}”: {instead}"),
        None => format!("nothing here is called “{typed}”; Backspace deletes what was typed"),
    }
}

/// The actions that fit what was typed, best first; with nothing typed, those that were used most.
pub fn entries(app: &App, typed: &str) -> Vec<Entry> {
    let offered: Vec<&'static Action> = actions::all().filter(|a| offered(a)).collect();
    let used = |i: usize| app.used.get(offered[i].name).copied().unwrap_or(0);
    let mut order: Vec<usize> = (0..offered.len()).collect();
    if typed.trim().is_empty() {
        order.sort_by_key(|i| std::cmp::Reverse(used(*i)));
    } else {
        let mut by_words: Vec<(i32, usize)> = order
            .iter()
            .filter_map(|i| Some((words_fit(typed, offered[*i])? + 3 * used(*i).min(4) as i32, *i)))
            .collect();
        by_words.sort_by_key(|(fit, i)| (-fit, *i));
        order = by_words.into_iter().map(|(_, i)| i).collect();
        // Letters in order find what was mistyped or cut short; only what no word fits.
        if order.is_empty() {
            order = fuzzy::rank(typed, offered.iter().map(|a| a.name));
        }
    }
    let entry = |i: usize| {
        let action = offered[i];
        Entry { value: action.name.to_owned(), doc: action.doc.to_owned(), note: app.key_label(action) }
    };
    order.into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::testing::Stage;
    use crate::screen::tests::{picture, text};

    fn first(stage: &Stage, typed: &str) -> String {
        entries(&stage.app, typed).first().map_or(String::new(), |e| e.value.clone())
    }

    #[test]
    fn words_and_other_words_for_it_find_an_action() {
        let stage = Stage::new();
        for (typed, name) in [
            ("exit", "quit"),
            ("tutorial", "tour"),
            ("fine-tune", "train"),
            ("eviction", "policy"),
            ("next head", "next-head"),
            ("help", "help"),
            ("all heads", "overview"),
        ] {
            assert_eq!(first(&stage, typed), name, "{typed}");
        }
        for (name, _) in SYNONYMS {
            assert!(actions::by_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn what_was_used_comes_first_and_what_is_not_there_is_said() {
        let mut stage = Stage::new();
        stage.press("m m m");
        stage.app.doc.map = crate::engine::types::MapKind::Masked;
        assert_eq!(first(&stage, ""), "map-kind");
        stage.press("ctrl-p").types("screenshot");
        let seen = text(&picture(&mut stage, 160, 50));
        assert!(
            seen.contains("nothing here is called “screenshot”: the commands print everything as JSON"),
            "{seen}"
        );
    }
}
