//! Actions that belong to no pane: leaving, moving between panes, undo, what fills the screen.

use crate::screen::actions::{ANYWHERE, EXPLORER, PANES, TRAINING, actions};
use crate::screen::app::{App, Request};
use crate::screen::changes;
use crate::screen::explore::{background, explain, text};
use crate::screen::generate::course as writing;
use crate::screen::pane::{self, Pane};
use crate::screen::popups::list::List;
use crate::screen::popups::{Popup, models, page, tour};
use crate::screen::train::run::course;
use crate::screen::view::Screen;

actions! {
    EXPLORER {
        /// Open the Train screen; a run continues while you explore
        TRAIN ["T"] "train" => course::enter;
        /// Open the Train screen for a run that masks exactly as the explorer does now
        TRAIN_WITH_MASK ["X"] => course::enter_with_mask;
        /// Open the Generate screen: the model writes on from your text, with and without the mask
        GENERATE ["G"] "write on" => writing::enter;
        /// Choose or type a model; see, download and remove models
        MODELS ["M"] "models" => models::open;
        /// Fetch the newer version that the Hub has of the model in use; the old one stays in use until the download completes
        REFRESH_MODEL ["f5"] "newer version" if |app| app.moved.is_some() && app.loading.is_none() =>
            models::refresh;
    }
    TRAINING {
        /// Go back to the explorer; the run continues
        EXPLORE ["E"] "explore" => course::leave;
    }
    PANES {
        /// Close the message on screen, or leave the enlarged pane
        DISMISS ["esc"] => dismiss;
        /// Let the pane fill the screen, or put it back
        ENLARGE ["z"] "enlarge" => |app| app.view.enlarged = !app.view.enlarged;
    }
    ANYWHERE {
        /// Quit and restore the terminal
        QUIT ["ctrl-c" "ctrl-q"] panes ["q"] "quit" => course::quit;
        /// Show every key and what it does
        HELP ["f1"] panes ["?"] "help" => |app| app.popup = Some(page::help());
        /// Explain what is under the cursor, with its numbers: a setting, a token, a row and column of the map, a head
        EXPLAIN ["f3"] panes ["K"] "explain" => explain::open;
        /// Find any action by name
        PALETTE ["ctrl-p"] panes [":"] "commands" => |app| app.popup = Some(Popup::Palette(List::default()));
        /// Walk through the screen in a minute
        TOUR ["f2"] "tour" => tour::start;
        /// Go to the next pane
        NEXT_PANE ["tab"] "next pane" => |app| cycle_focus(app, 1);
        /// Go to the previous pane
        PREVIOUS_PANE ["shift-tab"] => |app| cycle_focus(app, -1);
        /// Undo the last change of text, settings or view
        UNDO ["ctrl-/" "alt-u"] panes ["u"] "undo" if App::can_undo => |app| undo(app, true);
        /// Redo what was undone
        REDO ["ctrl-y" "alt-r"] panes ["U"] if App::can_redo => |app| undo(app, false);
        /// Retry what failed
        RETRY ["ctrl-r"] "retry" if |app| !app.cards.is_empty() || app.results.failure.is_some() =>
            background::retry;
        /// Cancel the download, the background work or the writing that is going on
        CANCEL ["ctrl-g"] panes ["x"] "cancel" if App::can_cancel => background::cancel;
        /// Switch between the dark and the light theme
        THEME ["ctrl-t"] => |app| app.look.dark = !app.look.dark;
        /// Draw the whole screen again
        REDRAW ["ctrl-l"] => |app| app.emit(Request::Redraw);
        /// Stop the program until the shell resumes it
        SUSPEND ["ctrl-z"] => |app| app.emit(Request::Suspend);
    }
}

pub(crate) fn cycle_focus(app: &mut App, step: isize) {
    let screen = app.screen();
    let order: Vec<&'static Pane> = pane::all().filter(|p| p.screen == screen).collect();
    let here = order.iter().position(|p| *p == app.view.focus).unwrap_or(0) as isize;
    app.focus(order[(here + step).rem_euclid(order.len() as isize) as usize]);
}

fn undo(app: &mut App, back: bool) {
    let now = app.doc.snapshot();
    let into_text = app.history.before().is_some_and(|before| before.text != now.text);
    if back && into_text && app.view.focus != &text::PANE {
        let write = app.key_label(&text::EDIT_TEXT);
        let undo = app.keymap.keys(&UNDO).first().map(|key| key.label(app.look.ascii)).unwrap_or_default();
        return app.say(format!(
            "The change before that is one of the text, which stays: {write} and then {undo} undo it there"
        ));
    }
    let step = if back { app.history.undo(now.clone()) } else { app.history.redo(now.clone(), app.now) };
    let Some(snapshot) = step else {
        return app.say(if back { "Nothing left to undo" } else { "Nothing left to redo" });
    };
    let changed = changes::between(app, &now, &snapshot);
    app.doc.restore(snapshot);
    let other = app.key_here(if back { &REDO } else { &UNDO }).unwrap_or_default();
    let (did, undoes) = if back { ("Undone", "brings it back") } else { ("Back again", "undoes it") };
    app.say(format!("{did}: {changed}; {other} {undoes}"));
}

fn dismiss(app: &mut App) {
    if app.cards.pop().is_some() {
        return;
    }
    if app.view.enlarged {
        app.view.enlarged = false;
    } else if app.view.overview && app.screen() == Screen::Explore {
        app.view.overview = false;
    } else if app.screen() == Screen::Train {
        course::leave(app);
    } else if app.screen() == Screen::Generate {
        writing::leave(app);
    } else {
        app.notice = None;
    }
}
