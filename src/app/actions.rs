//! What an action is: name, one-line doc, keys, where it applies, and the function that does it. Every subject declares
//! its own beside its functions with [`actions!`]; this file gathers them. Dispatch, help, the hint bar, the palette and
//! the README's key table are all read from here, so that they cannot drift apart.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::app::state::App;
use crate::app::{train, update};

/// Where an action applies. A key means the first action that has it in the innermost active context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Context {
    /// Always.
    Anywhere,
    /// Whenever no text is being typed.
    Panes,
    /// On the explorer, whenever no text is being typed.
    Explore,
    /// The text editor.
    Text,
    /// The token strip.
    Tokens,
    /// The heatmap.
    Map,
    /// The grid of all heads.
    Overview,
    /// The list of settings.
    Mask,
    /// The τ × p plane.
    Plane,
    /// A panel that only scrolls.
    Panel,
    /// The mix editor.
    Mix,
    /// The Train screen, whatever pane.
    Train,
    /// The form of a run.
    Setup,
    /// Curves over steps.
    Chart,
    /// The list of runs.
    Runs,
    /// Raster, batch, samples, log.
    Feed,
    /// A question on top of the screen.
    Ask,
    /// A number or list being typed.
    Entry,
    /// A list on top of the screen: palette, models, choices.
    List,
    /// A page on top of the screen: help, tour.
    Page,
}

impl Context {
    /// All of them, in the order of help and README, with their headings.
    pub const ALL: &'static [(Context, &'static str)] = &[
        (Context::Anywhere, "Anywhere"),
        (Context::Panes, "Outside the text"),
        (Context::Explore, "Explorer, outside the text"),
        (Context::Text, "Text"),
        (Context::Tokens, "Tokens"),
        (Context::Map, "Attention map"),
        (Context::Overview, "Overview of heads"),
        (Context::Mask, "Mask settings"),
        (Context::Plane, "τ × p plane"),
        (Context::Panel, "Effect, why, window, cost"),
        (Context::Mix, "Mix of operations"),
        (Context::Train, "Train"),
        (Context::Setup, "Settings of a run"),
        (Context::Chart, "Charts"),
        (Context::Runs, "Runs"),
        (Context::Feed, "Raster, batch, samples, log"),
        (Context::Ask, "Questions"),
        (Context::Entry, "Typing a value"),
        (Context::List, "Lists"),
        (Context::Page, "Help and tour"),
    ];
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
            pub(crate) static $name: $crate::app::actions::Action = $crate::app::actions::Action {
                name: {
                    const NAME: [u8; stringify!($name).len()] = $crate::app::actions::dashed(stringify!($name));
                    $crate::app::actions::text(&NAME)
                },
                context: $crate::app::actions::Context::$context,
                keys: &[$($key),*],
                pane_keys: &[$($($pane),*)?],
                hint: concat!($($hint)?),
                with: &[$($(&$with),*)?],
                doc: $doc.trim_ascii(),
                when: &[$($when)?],
                run: $run,
            };
        )+)+
        pub(in crate::app) static ACTIONS: &[&$crate::app::actions::Action] = &[$($(&$name),+),+];
    };
}
pub(in crate::app) use actions;

/// `NEXT_PANE` → `next-pane`
pub(in crate::app) const fn dashed<const N: usize>(name: &str) -> [u8; N] {
    let mut out = [0; N];
    let mut i = 0;
    while i < N {
        let byte = name.as_bytes()[i];
        out[i] = if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
        i += 1;
    }
    out
}

pub(in crate::app) const fn text(bytes: &'static [u8]) -> &'static str {
    match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("identifiers are UTF-8"),
    }
}

/// The actions of every subject, in the order of the hint bar.
static GATHERED: &[&[&Action]] = &[
    train::update::course::ACTIONS,
    train::update::live::ACTIONS,
    train::update::results::ACTIONS,
    train::update::charts::ACTIONS,
    train::update::fields::ACTIONS,
    train::update::feed::ACTIONS,
    update::text::ACTIONS,
    update::settings::ACTIONS,
    update::mix::ACTIONS,
    update::tokens::ACTIONS,
    update::map::ACTIONS,
    update::heads::ACTIONS,
    update::panels::ACTIONS,
    update::background::ACTIONS,
    update::general::ACTIONS,
    update::popups::ACTIONS,
    update::entry::ACTIONS,
];

/// Every action, in the order of the hint bar.
pub fn gathered() -> impl Iterator<Item = &'static Action> {
    GATHERED.iter().flat_map(|subject| subject.iter().copied())
}

/// The actions of one context.
pub fn of(context: Context) -> impl Iterator<Item = &'static Action> {
    gathered().filter(move |action| action.context == context)
}

/// Every action, context by context.
pub fn all() -> impl Iterator<Item = &'static Action> {
    Context::ALL.iter().flat_map(|(context, _)| of(*context))
}

pub fn by_name(name: &str) -> Option<&'static Action> {
    gathered().find(|action| action.name == name)
}

/// The README's key table, as Markdown.
pub fn markdown() -> String {
    let mut out = String::new();
    for (context, title) in Context::ALL {
        out.push_str(&format!("**{title}**\n\n| keys | action |\n|---|---|\n"));
        for action in of(*context) {
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
