//! The configuration reference as Markdown, made from the table; and how a generated block is put into a document.

use std::fmt::Write;

use super::kind::Kind;
use super::parameters::{self, KEYS_SECTION, Parameter};
use super::settings::Settings;

/// One table per section: key, type and range, default, doc.
pub fn reference(defaults: &Settings) -> String {
    let mut out = String::new();
    for section in parameters::sections() {
        if !out.is_empty() {
            out.push('\n');
        }
        // Writing to a String cannot fail.
        let _ = writeln!(out, "**`[{}]`** {}\n", section.name, cell(section.doc));
        if section.name == KEYS_SECTION {
            out.push_str("| key | value |\n|---|---|\n| `keys.ACTION` | keys, e.g. `[\"ctrl-r\"]` |\n");
            continue;
        }
        out.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
        for parameter in parameters::all().iter().filter(|parameter| parameter.section() == section.name) {
            out.push_str(&row(parameter, defaults));
        }
    }
    out
}

fn row(parameter: &Parameter, defaults: &Settings) -> String {
    let unit = match parameter.unit {
        "" => String::new(),
        unit => format!(" ({unit})"),
    };
    let value = match parameter.kind {
        Kind::Choice(names) => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
        kind => cell(&kind.describe()),
    };
    let default = defaults.get(parameter.key).map(|value| value.to_string()).unwrap_or_default();
    let Parameter { key, doc, .. } = parameter;
    format!("| `{key}` | {value}{unit} | `{}` | {} |\n", cell(&default), cell(doc))
}

/// What would end a cell or start a tag, escaped.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

/// `document` with everything between `<!-- name:begin -->` and `<!-- name:end -->` replaced by `block`.
/// `None` where the markers are missing, doubled or the wrong way round.
pub fn splice(document: &str, name: &str, block: &str) -> Option<String> {
    let begin = format!("<!-- {name}:begin -->");
    let end = format!("<!-- {name}:end -->");
    if document.matches(&begin).count() != 1 || document.matches(&end).count() != 1 {
        return None;
    }
    let start = document.find(&begin)? + begin.len();
    let stop = document.find(&end)?;
    let before = document.get(..start)?;
    let after = document.get(stop..).filter(|_| stop >= start)?;
    Some(format!("{before}\n{}\n{after}", block.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splice_replaces_what_is_between_the_markers() {
        let document = "a\n<!-- x:begin -->\nold\n<!-- x:end -->\nz\n";
        let new = splice(document, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- x:begin -->\nnew\n<!-- x:end -->\nz\n");
        assert_eq!(splice(&new, "x", "new"), Some(new.clone()));
        assert_eq!(splice(document, "y", "new"), None);
        assert_eq!(splice("<!-- x:end --><!-- x:begin -->", "x", "new"), None);
        assert_eq!(splice(&format!("{document}{document}"), "x", "new"), None);
    }

    #[test]
    fn every_parameter_has_a_row_of_four_cells() {
        let text = reference(&super::super::defaults().unwrap());
        for parameter in parameters::all() {
            let start = format!("| `{}` |", parameter.key);
            let rows: Vec<_> = text.lines().filter(|line| line.starts_with(&start)).collect();
            assert_eq!(rows.len(), 1, "{}", parameter.key);
            assert_eq!(rows[0].replace("\\|", "").matches('|').count(), 5, "{}", rows[0]);
            assert!(!rows[0].contains("| `` |"), "no default: {}", parameter.key);
        }
    }
}
