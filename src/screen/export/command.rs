//! The command line that prints the numbers on screen: model, text, seed, and every setting that differs from its default or
//! from what the program started with.

use std::fmt::Write as _;

use crate::config::{AllSettings, Settings};
use crate::mask::rolling::RollingSettings;
use crate::mask::types::MaskSettings;
use crate::screen::export::numbers::ExportSubject;
use crate::screen::export::part::ExportPart;
use crate::support::visible::is_unsafe;

/// Flags of `maskscope export` whose names are not their setting's own, as `(long name, key)`.
pub const FLAGS: &[(&str, &str)] = &[
    ("model", "model.id"),
    ("revision", "model.revision"),
    ("device", "model.device"),
    ("offline", "hub.offline"),
    ("refresh", "hub.refresh"),
    ("score", "score.reduction"),
    ("contribution", "score.contribution"),
    ("score-window", "score.window"),
    ("layers", "score.layers"),
    ("heads", "score.heads"),
    ("top", "explore.top"),
    ("layer", "explore.layer"),
    ("head", "explore.head"),
    ("map", "explore.map"),
];

/// Settings outside of mask, score and rolling window that numbers depend on.
const OTHERS: [&str; 5] = ["explore.layer", "explore.head", "explore.map", "explore.top", "compute.weights"];

/// The settings that the numbers depend on, in the order of `config.toml`, as a person types them.
pub fn decisive(settings: &Settings) -> Vec<(String, String)> {
    let counts = |path: &String| {
        ["mask.", "score.", "rolling."].iter().any(|table| path.starts_with(table))
            || OTHERS.contains(&path.as_str())
    };
    let shown = |path: String| Some((shown(settings, &path)?, path));
    settings.paths().into_iter().filter(counts).filter_map(shown).map(|(value, path)| (path, value)).collect()
}

fn shown(settings: &Settings, path: &str) -> Option<String> {
    Some(settings.row(path)?.kind.show(&settings.get(path)?))
}

/// `maskscope export PART …`, for a shell such as bash or zsh.
pub fn command_line(part: ExportPart, subject: &ExportSubject) -> String {
    let built_in = crate::config::defaults().unwrap_or_default();
    let mut out = format!("maskscope export {part}");
    give(&mut out, "model", &subject.model);
    give(&mut out, "text", &subject.text);
    if let Some(position) = subject.position {
        give(&mut out, "position", &position.to_string());
    }
    if !subject.pins.is_empty() {
        give(&mut out, "pin", &subject.pins);
    }
    for (path, value) in decisive(&subject.settings) {
        let same = |other: &Settings| shown(other, &path).as_ref() == Some(&value);
        if path == MaskSettings::seed || !same(&built_in) || !same(&subject.start) {
            match flag(&path) {
                Some(flag) => give(&mut out, &flag, &value),
                None => give(&mut out, "set", &format!("{path}={value}")),
            }
        }
    }
    out
}

/// The flag of a setting, where it has one.
fn flag(path: &str) -> Option<String> {
    let named = FLAGS.iter().find(|(_, key)| *key == path).map(|(flag, _)| (*flag).to_owned());
    let own = || {
        let rows = [MaskSettings::ROWS, RollingSettings::ROWS];
        let known = rows.into_iter().flatten().any(|row| row.path == path);
        known.then(|| path.rsplit('.').next().unwrap_or(path).replace('_', "-"))
    };
    named.or_else(own)
}

/// `--name=value` serves switches and values that begin with a dash as well.
fn give(out: &mut String, name: &str, value: &str) {
    let _ = write!(out, " --{name}={}", quoted(value));
}

/// A word as a shell reads it back.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:,@%+=-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    if !text.chars().any(is_unsafe) {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    // Nothing raw: what a terminal would act on is written out, byte by byte.
    let mut out = String::from("$'");
    for c in text.chars() {
        match c {
            '\n' => out.push_str(r"\n"),
            '\t' => out.push_str(r"\t"),
            '\'' | '\\' => out.extend(['\\', c]),
            c if is_unsafe(c) => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(out, "\\x{byte:02x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_only_where_a_shell_would_split_or_read_them() {
        assert_eq!(quoted("demo"), "demo");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's $HOME `x`"), r"'it'\''s $HOME `x`'");
        assert_eq!(quoted("a\n\u{1b}[2J'\\"), r"$'a\n\x1b[2J\'\\'");
        assert_eq!(quoted("\u{202e}"), r"$'\xe2\x80\xae'");
    }
}
