//! Names that `run.json` and `trainer.json` had in earlier versions: they are read, and one line gives the new one. Pure.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::attention::types::Reduction;
use crate::settings::Choice;

/// Keys, as (old path, new path); both lie in the same object.
const KEYS: &[(&str, &str)] = &[
    ("rate", "learning_rate"),
    ("masking.joint.rate", "masking.joint.learning_rate"),
    ("counters.rate", "counters.learning_rate"),
];

/// Paths of choices that have old names.
const CHOICES: &[(&str, &[Choice])] = &[("masking.score.reduction", Reduction::CHOICES)];

/// Reads a file of a run; beside it a line for each old name.
///
/// # Errors
/// What serde reports of damaged or unknown content.
pub fn read<T: DeserializeOwned>(text: &[u8]) -> serde_json::Result<(T, Vec<String>)> {
    let mut json: Value = serde_json::from_slice(text)?;
    let mut lines = Vec::new();
    for (old, new) in KEYS {
        let (table, old_key) = old.rsplit_once('.').unwrap_or(("", old));
        let new_key = new.rsplit('.').next().unwrap_or(new);
        let Some(object) = at(&mut json, table).and_then(Value::as_object_mut) else { continue };
        if let Some(value) = object.remove(old_key) {
            object.insert(new_key.to_owned(), value);
            lines.push(format!("{old} is now {new}"));
        }
    }
    for (path, choices) in CHOICES {
        let Some(Value::String(name)) = at(&mut json, path) else { continue };
        if let Some(choice) = choices.iter().find(|choice| choice.was.contains(&name.as_str())) {
            lines.push(format!("{path} = {name} is now {}", choice.name));
            choice.name.clone_into(name);
        }
    }
    Ok((serde_json::from_value(json)?, lines))
}

/// The value at a dotted path; an empty path is the whole.
fn at<'a>(json: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    path.split('.').filter(|key| !key.is_empty()).try_fold(json, |value, key| value.get_mut(key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn renamed(json: &Value) -> (Value, Vec<String>) {
        read(json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn old_names_are_read_and_named() {
        let (json, lines) = renamed(&json!({
            "rate": {"peak": 0.5},
            "masking": {"rate": 0.15, "score": {"reduction": "null"}, "joint": {"rate": 1e-3}},
        }));
        assert_eq!(
            json,
            json!({
                "learning_rate": {"peak": 0.5},
                "masking": {
                    "rate": 0.15, "score": {"reduction": "distance-null"}, "joint": {"learning_rate": 1e-3}
                },
            })
        );
        assert_eq!(
            lines,
            [
                "rate is now learning_rate",
                "masking.joint.rate is now masking.joint.learning_rate",
                "masking.score.reduction = null is now distance-null"
            ]
        );
        assert_eq!(renamed(&json!({"counters": {"rate": 1}})).0, json!({"counters": {"learning_rate": 1}}));
    }

    #[test]
    fn names_of_today_are_left_alone() {
        for json in [
            json!({"learning_rate": 1, "masking": {"rate": 0.1, "joint": null, "score": {"reduction": "sum"}}}),
            json!({"counters": {"learning_rate": 1}}),
        ] {
            assert_eq!(renamed(&json), (json, Vec::new()));
        }
    }
}
