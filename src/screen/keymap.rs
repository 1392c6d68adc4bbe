//! Which key means which action, where. Built from the actions' keys and the user's own; pure.

use std::collections::{BTreeMap, HashMap};

use crate::screen::actions::{self, ANYWHERE, Action, Context, EXPLORER, PANES};
use crate::screen::keys::Key;

/// The user's keys: action name to key strings. They take the place of that action's default keys.
pub type KeyOverrides = BTreeMap<String, Vec<String>>;

/// What is wrong with the user's keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeymapError {
    #[error("unknown action: {name}")]
    UnknownAction { name: String, nearest: Option<&'static str> },
    #[error("bad key for {action}: {reason}")]
    BadKey { action: String, reason: String },
    #[error("{first} and {second} are both bound to {key}")]
    Conflict { key: String, first: &'static str, second: &'static str },
}

impl KeymapError {
    /// Whose keys are at fault.
    pub fn action(&self) -> &str {
        match self {
            KeymapError::UnknownAction { name: action, .. } | KeymapError::BadKey { action, .. } => action,
            KeymapError::Conflict { second, .. } => second,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            KeymapError::UnknownAction { nearest: Some(name), .. } => Some(format!("did you mean {name}?")),
            KeymapError::UnknownAction { nearest: None, .. } => {
                Some("ctrl-p in the explorer lists every action".to_owned())
            }
            KeymapError::BadKey { .. } => Some("keys look like: ctrl-r, shift-left, f5, ?".to_owned()),
            KeymapError::Conflict { .. } => Some("give one of them another key".to_owned()),
        }
    }
}

/// The bindings in force.
#[derive(Clone, Debug)]
pub struct Keymap {
    bindings: HashMap<(Context, Key), &'static Action>,
    keys: HashMap<&'static Action, Vec<Key>>,
}

impl Keymap {
    /// Default keys patched with the user's.
    pub fn new(overrides: &KeyOverrides) -> Result<Self, KeymapError> {
        for name in overrides.keys() {
            if actions::by_name(name).is_none() {
                return Err(KeymapError::UnknownAction { name: name.clone(), nearest: nearest(name) });
            }
        }
        let mut map = Keymap { bindings: HashMap::new(), keys: HashMap::new() };
        // The user's keys first: a default that collides with one of them gives way.
        for user in [true, false] {
            for action in actions::all().filter(|a| overrides.contains_key(a.name) == user) {
                let own: Vec<(Context, &str)> = match overrides.get(action.name) {
                    Some(keys) => keys.iter().map(|k| (action.context, k.as_str())).collect(),
                    None => {
                        let plain = action.keys.iter().map(|k| (action.context, *k));
                        plain.chain(action.pane_keys.iter().map(|k| (PANES, *k))).collect()
                    }
                };
                for (context, text) in own {
                    map.bind(action, context, text, user)?;
                }
            }
        }
        Ok(map)
    }

    fn bind(
        &mut self,
        action: &'static Action,
        context: Context,
        text: &str,
        user: bool,
    ) -> Result<(), KeymapError> {
        let key: Key =
            text.parse().map_err(|reason| KeymapError::BadKey { action: action.name.to_owned(), reason })?;
        // A bare letter bound everywhere would make it impossible to type it.
        let context = if context == ANYWHERE && key.typed().is_some() { PANES } else { context };
        // Both of these apply on the explorer, so one key cannot mean two things in them.
        let rivals = match context {
            PANES | EXPLORER => &[PANES, EXPLORER][..],
            _ => std::slice::from_ref(&context),
        };
        match rivals.iter().find_map(|c| self.bindings.get(&(*c, key))) {
            Some(other) if user => {
                Err(KeymapError::Conflict { key: key.to_string(), first: other.name, second: action.name })
            }
            Some(_) => Ok(()),
            None => {
                self.bindings.insert((context, key), action);
                self.keys.entry(action).or_default().push(key);
                Ok(())
            }
        }
    }

    /// The action of a key; `contexts` from the innermost to the outermost.
    pub fn lookup(&self, key: Key, contexts: &[Context]) -> Option<&'static Action> {
        contexts.iter().find_map(|c| self.bindings.get(&(*c, key)).copied())
    }

    /// The keys of an action, the first one being the one to show.
    pub fn keys(&self, action: &Action) -> &[Key] {
        self.keys.get(action).map_or(&[], Vec::as_slice)
    }

    /// The shortest key to show where the given contexts are active.
    pub fn label(&self, action: &Action, contexts: &[Context], ascii: bool) -> Option<String> {
        let reachable = self.keys(action).iter().filter(|k| self.lookup(**k, contexts) == Some(action));
        reachable.map(|k| k.label(ascii)).min_by_key(|l| l.chars().count())
    }
}

fn nearest(name: &str) -> Option<&'static str> {
    actions::all()
        .map(|a| (strsim::damerau_levenshtein(name, a.name), a.name))
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, n)| n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::explore::map;
    use crate::screen::explore::mask::settings;
    use crate::screen::general;

    fn overrides(list: &[(&str, &[&str])]) -> KeyOverrides {
        list.iter().map(|(n, k)| ((*n).to_owned(), k.iter().map(|s| (*s).to_owned()).collect())).collect()
    }

    #[test]
    fn default_keys_do_not_collide() {
        let map = Keymap::new(&KeyOverrides::new()).unwrap();
        for action in actions::all() {
            let wanted = action.keys.len() + action.pane_keys.len();
            assert_eq!(map.keys(action).len(), wanted, "a key of {action:?} is taken twice");
        }
    }

    #[test]
    fn user_keys_replace_defaults_and_win_over_others() {
        let keymap = Keymap::new(&overrides(&[("reroll", &["m"])])).unwrap();
        let key = |s: &str| s.parse::<Key>().unwrap();
        assert_eq!(keymap.lookup(key("m"), &[EXPLORER, PANES]), Some(&settings::REROLL));
        assert_eq!(keymap.lookup(key("r"), &[EXPLORER, PANES]), None);
        assert!(keymap.keys(&map::MAP_KIND).is_empty());
        // A key of the explorer and one of every pane would meet on the explorer.
        let keymap = Keymap::new(&overrides(&[("threshold-up", &["m"])])).unwrap();
        assert_eq!(keymap.lookup(key("m"), &[EXPLORER, PANES]), Some(&settings::THRESHOLD_UP));
        let both = overrides(&[("threshold-up", &["m"]), ("reroll", &["m"])]);
        assert!(matches!(Keymap::new(&both), Err(KeymapError::Conflict { .. })));
    }

    #[test]
    fn mistakes_in_user_keys_are_explained() {
        let err = Keymap::new(&overrides(&[("rerol", &["m"])])).unwrap_err();
        assert_eq!(err.hint().unwrap(), "did you mean reroll?");
        let err = Keymap::new(&overrides(&[("reroll", &["hyper-m"])])).unwrap_err();
        assert!(err.to_string().starts_with("bad key for reroll"));
        let err = Keymap::new(&overrides(&[("reroll", &["m"]), ("polarity", &["m"])])).unwrap_err();
        assert!(matches!(err, KeymapError::Conflict { .. }));
    }

    #[test]
    fn a_bare_letter_never_takes_typing_away() {
        let map = Keymap::new(&overrides(&[("quit", &["e"])])).unwrap();
        let e: Key = "e".parse().unwrap();
        assert_eq!(map.lookup(e, &[crate::screen::explore::text::CONTEXT, ANYWHERE]), None);
        assert_eq!(map.lookup(e, &[PANES, ANYWHERE]), Some(&general::QUIT));
    }
}
