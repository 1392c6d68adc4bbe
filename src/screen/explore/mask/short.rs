//! Short texts: under the usual settings nothing in them may be masked. The text that is open at the start gets settings
//! under which something is, which is said and can be undone.

use crate::mask::types::{Decision, MaskSettings, Polarity, Protect, Scale, Scope, State};
use crate::screen::app::App;
use crate::screen::explore::mask::settings;
use crate::screen::general::UNDO;
use crate::screen::history::EditKind;
use crate::settings::Value;

/// Tokens of a text that counts as short.
const SHORT: usize = 24;

/// Makes something masked in a short text that has just been opened, if nothing is; once.
pub fn adapt(app: &mut App) {
    let Some(decision) = app.results.decision() else { return };
    if !std::mem::take(&mut app.opening) || !app.options.free || decision.selected > 0 {
        return;
    }
    let Some(changes) = changes(&app.doc.mask, decision) else { return };
    app.act(|app| {
        app.history.joins(EditKind::Single);
        let mut said = Vec::new();
        for (path, value, name) in changes {
            // Bounds are kept: these are values of the choices' own.
            if settings::set(app, path, value).is_ok() {
                said.push(name);
            }
        }
        app.say(format!(
            "In so short a text nothing would be masked: {} for now; {} takes that back",
            said.join(", "),
            app.key_label(&UNDO)
        ));
    });
}

type Change = (&'static str, Value, String);

/// What has to change, as far as it is known from one decision.
fn changes(mask: &MaskSettings, decision: &Decision) -> Option<Vec<Change>> {
    let n = decision.positions.len();
    let usual = mask.scope == Scope::Whole && mask.scale == Scale::Rank && mask.polarity == Polarity::High;
    if !(2..=SHORT).contains(&n) || !usual || mask.exact_k {
        return None;
    }
    let mut out: Vec<Change> = Vec::new();
    let mut eligible = decision.eligible;
    if eligible == 0 && mask.protect != Protect::NONE {
        out.push((MaskSettings::protect, Value::Text("none".to_owned()), "nothing is protected".to_owned()));
        // The last token is read by none, so it has no score.
        eligible = n - 1;
    }
    // The highest of n ranks is at (n − ½)/n.
    let highest = (eligible as f64 - 0.5) / eligible.max(1) as f64;
    if highest <= mask.threshold {
        out.push((MaskSettings::threshold, Value::Float(0.4), "τ is 0.4".to_owned()));
    }
    let drawn = decision.positions.iter().any(|p| p.state == State::Draw);
    if drawn || !out.is_empty() {
        out.push((MaskSettings::probability, Value::Float(1.0), "p is 1".to_owned()));
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use crate::screen::options::Options;
    use crate::screen::testing::{Stage, options};

    fn opened(text: &str, free: bool) -> Stage {
        Stage::with(Options { text: text.to_owned(), free, ..options() })
    }

    #[test]
    fn short_texts_start_with_something_masked_and_say_so() {
        for text in ["Hello world", "One two three", "The old captain looked at the sea", "Call me Ishmael."]
        {
            let mut stage = opened(text, true);
            let masked = stage.app.results.decision().unwrap().selected;
            assert!(masked > 0, "{text}");
            stage.press("u");
            assert_eq!(stage.last().mask, options().mask, "undo brings back the usual settings: {text}");
        }
        let mut stage = opened("Hello world", true);
        let said = stage.app.notice.clone().unwrap().text;
        assert!(said.contains("nothing is protected, τ is 0.4, p is 1 for now; u takes that back"), "{said}");
        // Only the text that was opened: what is typed later has the settings that a person sees.
        stage.press("u i ctrl-a").types("Hi you");
        assert_eq!(stage.last().mask, options().mask);
    }

    #[test]
    fn settings_that_somebody_chose_stay() {
        assert_eq!(opened("Hello world", false).last().mask, options().mask);
    }
}
