//! Which key means which action, where. Built from the action table and the user's own keys; pure.

use std::collections::{BTreeMap, HashMap};

use crate::app::actions::{ACTIONS, Context, Verb};
use crate::app::keys::Key;

/// The user's keys: action name to key strings. They take the place of that action's default keys.
pub type KeyOverrides = BTreeMap<String, Vec<String>>;

/// What is wrong with the user's keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeymapError {
    #[error("no action is called: {name}")]
    UnknownAction { name: String, nearest: Option<&'static str> },
    #[error("bad key for {action}: {reason}")]
    BadKey { action: String, reason: String },
    #[error("{first} and {second} both want the key: {key}")]
    Conflict { key: String, first: &'static str, second: &'static str },
}

impl KeymapError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            KeymapError::UnknownAction { nearest, .. } => nearest.map(|n| format!("did you mean {n}?")),
            KeymapError::BadKey { .. } => Some("keys look like: ctrl-r, shift-left, f5, ?".to_owned()),
            KeymapError::Conflict { .. } => Some("give one of them another key".to_owned()),
        }
    }
}

/// The bindings in force.
#[derive(Clone, Debug)]
pub struct Keymap {
    bindings: HashMap<(Context, Key), Verb>,
    keys: HashMap<Verb, Vec<Key>>,
}

impl Keymap {
    /// Default keys patched with the user's.
    pub fn new(overrides: &KeyOverrides) -> Result<Self, KeymapError> {
        for name in overrides.keys() {
            if Verb::by_name(name).is_none() {
                return Err(KeymapError::UnknownAction { name: name.clone(), nearest: nearest(name) });
            }
        }
        let mut map = Keymap { bindings: HashMap::new(), keys: HashMap::new() };
        // The user's keys first: a default that collides with one of them gives way.
        for user in [true, false] {
            for spec in ACTIONS.iter().filter(|s| overrides.contains_key(s.name) == user) {
                let own: Vec<(Context, &str)> = match overrides.get(spec.name) {
                    Some(keys) => keys.iter().map(|k| (spec.context, k.as_str())).collect(),
                    None => {
                        let plain = spec.keys.iter().map(|k| (spec.context, *k));
                        plain.chain(spec.pane_keys.iter().map(|k| (Context::Panes, *k))).collect()
                    }
                };
                for (context, text) in own {
                    map.bind(spec.verb, context, text, user)?;
                }
            }
        }
        Ok(map)
    }

    fn bind(&mut self, verb: Verb, context: Context, text: &str, user: bool) -> Result<(), KeymapError> {
        let action = verb.spec().name;
        let key: Key =
            text.parse().map_err(|reason| KeymapError::BadKey { action: action.to_owned(), reason })?;
        // A bare letter bound everywhere would make it impossible to type it.
        let context =
            if context == Context::Anywhere && key.typed().is_some() { Context::Panes } else { context };
        match self.bindings.get(&(context, key)) {
            Some(other) if user => {
                Err(KeymapError::Conflict { key: key.to_string(), first: other.spec().name, second: action })
            }
            Some(_) => Ok(()),
            None => {
                self.bindings.insert((context, key), verb);
                self.keys.entry(verb).or_default().push(key);
                Ok(())
            }
        }
    }

    /// The action of a key; `contexts` from the innermost to the outermost.
    pub fn lookup(&self, key: Key, contexts: &[Context]) -> Option<Verb> {
        contexts.iter().find_map(|c| self.bindings.get(&(*c, key)).copied())
    }

    /// The keys of an action, the first one being the one to show.
    pub fn keys(&self, verb: Verb) -> &[Key] {
        self.keys.get(&verb).map_or(&[], Vec::as_slice)
    }

    /// The shortest key to show where the given contexts are active.
    pub fn label(&self, verb: Verb, contexts: &[Context], ascii: bool) -> Option<String> {
        let reachable = self.keys(verb).iter().filter(|k| self.lookup(**k, contexts) == Some(verb));
        reachable.map(|k| k.label(ascii)).min_by_key(|l| l.chars().count())
    }
}

fn nearest(name: &str) -> Option<&'static str> {
    ACTIONS
        .iter()
        .map(|s| (strsim::damerau_levenshtein(name, s.name), s.name))
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, n)| n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(list: &[(&str, &[&str])]) -> KeyOverrides {
        list.iter().map(|(n, k)| ((*n).to_owned(), k.iter().map(|s| (*s).to_owned()).collect())).collect()
    }

    #[test]
    fn default_keys_do_not_collide() {
        let map = Keymap::new(&KeyOverrides::new()).unwrap();
        for spec in ACTIONS {
            let wanted = spec.keys.len() + spec.pane_keys.len();
            assert_eq!(map.keys(spec.verb).len(), wanted, "a key of {} is taken twice", spec.name);
        }
    }

    #[test]
    fn user_keys_replace_defaults_and_win_over_others() {
        let map = Keymap::new(&overrides(&[("reroll", &["m"])])).unwrap();
        let key = |s: &str| s.parse::<Key>().unwrap();
        assert_eq!(map.lookup(key("m"), &[Context::Panes]), Some(Verb::Reroll));
        assert_eq!(map.lookup(key("r"), &[Context::Panes]), None);
        assert!(map.keys(Verb::MapKind).is_empty());
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
        assert_eq!(map.lookup(e, &[Context::Text, Context::Anywhere]), None);
        assert_eq!(map.lookup(e, &[Context::Panes, Context::Anywhere]), Some(Verb::Quit));
    }
}
