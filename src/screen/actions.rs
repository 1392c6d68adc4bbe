//! What an action is: name, one-line doc, keys, where it applies, and the function that does it. Every subject declares
//! its own beside its functions with [`actions!`]; this file gathers them. Dispatch, help, the hint bar, the palette and
//! the key table in assets/reference/keys.md are all read from here, so that they cannot drift apart.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::screen::app::App;
use crate::screen::export::dialog::EXPORTING;
use crate::screen::pane::Pane;
use crate::screen::{explore, export, general, generate, popups, train};

/// Where an action applies, by the heading that help gives it. A key means the first action that has it in the
/// innermost active context. A pane with keys of its own declares one beside them; these belong to no pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Context(pub &'static str);

/// Always.
pub const ANYWHERE: Context = Context("Anywhere");
/// Whenever no text is being typed.
pub const PANES: Context = Context("Outside the text");
/// On the explorer, whenever no text is being typed.
pub const EXPLORER: Context = Context("Explorer, outside the text");
/// The Train screen, whatever pane.
pub const TRAINING: Context = Context("Train");
/// The Generate screen, whatever pane.
pub const GENERATING: Context = Context("Generate");
/// The editor of a mix of operations.
pub const MIX: Context = Context("Mix of operations");
/// A question on top of the screen.
pub const ASK: Context = Context("Questions");
/// A number or list being typed.
pub const ENTRY: Context = Context("Typing a value");
/// A list on top of the screen: palette, models, choices.
pub const LIST: Context = Context("Lists");
/// The Models screen, beside the keys of lists.
pub const MODEL_LIST: Context = Context("Models");
/// Help on top of the screen.
pub const PAGE: Context = Context("Help");
/// While the tour is on, before everything else but what is typed.
pub const TOUR: Context = Context("Tour");

/// Every context that has an action, in the order of help and reference.
pub fn contexts() -> Vec<Context> {
    let of = |panes: &[&Pane]| -> Vec<Context> {
        panes.iter().flat_map(|p| p.actions.iter().flat_map(|list| list.iter())).map(|a| a.context).collect()
    };
    let mut out = vec![ANYWHERE, PANES, EXPLORER];
    let last = [ASK, ENTRY, LIST, PAGE, TOUR];
    let rest = [
        of(explore::PANES),
        vec![MIX, EXPORTING, MODEL_LIST, GENERATING],
        of(generate::PANES),
        vec![TRAINING],
        of(train::PANES),
    ]
    .concat();
    for context in rest.into_iter().filter(|c| !last.contains(c)).collect::<Vec<_>>().into_iter().chain(last)
    {
        if !out.contains(&context) {
            out.push(context);
        }
    }
    out
}

/// Something a key, a hint or a palette entry can ask for. Known by its name, of which there is one each.
pub struct Action {
    /// Stable name, for key settings and the palette.
    pub name: &'static str,
    pub context: Context,
    /// Default keys in `context`.
    pub keys: &'static [&'static str],
    /// Further default keys, single letters mostly, whenever no text is being typed.
    pub pane_keys: &'static [&'static str],
    /// A word or two for the hint bar; empty keeps it out of the bar.
    pub hint: &'static str,
    /// Actions whose keys the hint bar shows together with this one's.
    pub with: &'static [&'static Action],
    /// One line: what it does.
    pub doc: &'static str,
    /// When the hint bar offers it: all of these must hold.
    pub when: &'static [fn(&App) -> bool],
    pub run: fn(&mut App),
}

impl Action {
    /// Whether it would do anything now.
    pub fn possible(&self, app: &App) -> bool {
        self.when.iter().all(|holds| holds(app))
    }
}

impl PartialEq for Action {
    fn eq(&self, other: &Action) -> bool {
        self.name == other.name
    }
}

impl Eq for Action {}

impl Hash for Action {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Declares actions, each a static named in capitals, and the list `ACTIONS` of them. A row reads
/// `NAME [keys] panes [keys outside of text] "hint" with [ACTIONS] if condition => function;` below its doc, where only
/// keys and function must be there.
macro_rules! actions {
    ($($context:ident {$(
        #[doc = $doc:literal]
        $name:ident [$($key:literal)*] $(panes [$($pane:literal)*])? $($hint:literal)? $(with [$($with:ident)*])?
            $(if $when:expr)? => $run:expr;
    )+})+) => {
        $($(
            #[doc = $doc]
            pub(crate) static $name: $crate::screen::actions::Action = $crate::screen::actions::Action {
                name: {
                    const NAME: [u8; stringify!($name).len()] = $crate::screen::actions::dashed(stringify!($name));
                    $crate::screen::actions::text(&NAME)
                },
                context: $context,
                keys: &[$($key),*],
                pane_keys: &[$($($pane),*)?],
                hint: concat!($($hint)?),
                with: &[$($(&$with),*)?],
                doc: $doc.trim_ascii(),
                when: &[$($when)?],
                run: $run,
            };
        )+)+
        pub(crate) static ACTIONS: &[&$crate::screen::actions::Action] = &[$($(&$name),+),+];
    };
}
pub(crate) use actions;

/// `NEXT_PANE` → `next-pane`
pub(crate) const fn dashed<const N: usize>(name: &str) -> [u8; N] {
    let mut out = [0; N];
    let mut i = 0;
    while i < N {
        let byte = name.as_bytes()[i];
        out[i] = if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
        i += 1;
    }
    out
}

pub(crate) const fn text(bytes: &'static [u8]) -> &'static str {
    match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("identifiers are UTF-8"),
    }
}

/// The actions that belong to no pane.
static COMMON: &[&[&Action]] = &[
    popups::mix::ACTIONS,
    general::ACTIONS,
    export::ACTIONS,
    export::dialog::ACTIONS,
    popups::ask::ACTIONS,
    popups::models::ACTIONS,
    popups::list::ACTIONS,
    popups::page::ACTIONS,
    popups::tour::ACTIONS,
];

/// Every action, in the order of the hint bar.
pub fn gathered() -> impl Iterator<Item = &'static Action> {
    let panes =
        train::PANES.iter().chain(generate::PANES).chain(explore::PANES).flat_map(|pane| pane.actions);
    panes.chain(COMMON).flat_map(|subject| subject.iter().copied())
}

/// The actions of one context.
pub fn of(context: Context) -> impl Iterator<Item = &'static Action> {
    gathered().filter(move |action| action.context == context)
}

/// Every action, context by context.
pub fn all() -> impl Iterator<Item = &'static Action> {
    contexts().into_iter().flat_map(of)
}

pub fn by_name(name: &str) -> Option<&'static Action> {
    gathered().find(|action| action.name == name)
}

/// The key table of `assets/reference/keys.md`, as Markdown.
pub fn markdown() -> String {
    let mut out = String::new();
    for context in contexts() {
        let title = context.0;
        out.push_str(&format!("**{title}**\n\n| keys | action |\n|---|---|\n"));
        for action in of(context) {
            let keys = action.keys.iter().chain(action.pane_keys);
            let keys: Vec<String> = keys.map(|k| format!("`{}`", k.replace('|', "\\|"))).collect();
            out.push_str(&format!("| {} | {} |\n", keys.join(" "), action.doc.replace('|', "\\|")));
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_docs_are_sentences_without_a_full_stop() {
        for action in gathered() {
            let named = gathered().filter(|a| a.name == action.name).count();
            assert_eq!(named, 1, "name used twice: {}", action.name);
            assert!(!action.doc.is_empty() && !action.doc.ends_with('.'), "{action:?}");
            assert!(action.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{action:?}");
        }
        assert_eq!(all().count(), gathered().count(), "a context is missing in the list of all");
    }

    #[test]
    fn markdown_has_one_line_per_action() {
        let rows = markdown().lines().filter(|l| l.starts_with("| `")).count();
        assert_eq!(rows, gathered().count());
    }
}
