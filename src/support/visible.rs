//! Makes any text safe and visible before it reaches a terminal, and measures it. Pure; any thread.
//! Everything that comes from a model, a file, the Hub or the clipboard passes through here exactly once, on its way out:
//! through [`visible`] to a cell of the screen, through [`line`] or [`lines`] into a message, through [`token`] where every
//! space counts. Must never let a control character, an escape sequence or a bidirectional override through.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Columns that a safe string takes on screen, counted like ratatui counts them.
pub fn width(s: &str) -> usize {
    if s.is_ascii() {
        return s.len();
    }
    // unicode-width calls the half-width sound marks zero-width; terminals give them a cell.
    let marks = s.chars().filter(|c| matches!(c, '\u{ff9e}' | '\u{ff9f}')).count();
    s.width() + marks
}

/// Whether this character must not be shown as it is.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// The picture of a character that may not be printed; one column wide.
fn picture(c: char) -> char {
    match c {
        '\n' | '\u{2028}' | '\u{2029}' => '⏎',
        '\t' => '→',
        c @ '\0'..='\x1f' => char::from_u32(0x2400 + c as u32).unwrap_or('·'),
        '\x7f' => '␡',
        c if c.is_control() => '�',
        _ => '◦',
    }
}

/// `s` with everything unsafe replaced by a visible picture. Borrows when nothing had to change.
pub fn visible(s: &str) -> Cow<'_, str> {
    if s.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Cow::Borrowed(s);
    }
    let clean = |g: &str| !g.chars().any(is_unsafe) && width(g) > 0;
    if s.graphemes(true).all(clean) {
        return Cow::Borrowed(s);
    }
    let mut out = String::with_capacity(s.len() + 8);
    for g in s.graphemes(true) {
        push_visible(&mut out, g);
    }
    Cow::Owned(out)
}

fn push_visible(out: &mut String, grapheme: &str) {
    if grapheme == "\r\n" {
        out.push('⏎');
        return;
    }
    let start = out.len();
    for c in grapheme.chars() {
        out.push(if is_unsafe(c) { picture(c) } else { c });
    }
    // A mark with nothing to sit on would take no column and so could not be seen or pointed at.
    if width(&out[start..]) == 0 {
        out.insert(start, '◌');
    }
    // Some marks do not join the circle: they cannot be shown at all.
    if width(&out[start..]) == 0 || out[start..].graphemes(true).any(|g| width(g) == 0) {
        out.truncate(start);
        out.push('◦');
    }
}

/// Text on one line: everything unsafe written out, `\n` or `\u{202e}`.
pub fn line(text: &str) -> String {
    escaped(text, is_unsafe)
}

/// The same, but line ends and tabs stay.
pub fn lines(text: &str) -> String {
    escaped(text, |c| is_unsafe(c) && c != '\n' && c != '\t')
}

/// As [`line`], of the first `longest` characters.
pub fn shortened(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => line(&text[..end]) + "…",
        None => line(text),
    }
}

/// The text without names and passwords in addresses: `https://user:pass@host/` becomes `https://host/`.
pub fn without_credentials(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        // What names the host ends here; a name or password may hold an `@` itself.
        let end = after
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"'))
            .unwrap_or(after.len());
        let host = after[..end].rfind('@').map_or(0, |at| at + 1);
        out.push_str(before);
        rest = &after[host..];
    }
    if out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The bytes of a token, each to be seen: space `·`, newline `↵`, tab `→`, loose bytes `‹hex›`, everything unsafe or
/// joining written out as `\u{…}`.
pub fn token(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                ' ' => out.push('·'),
                '\n' => out.push('↵'),
                '\t' => out.push('→'),
                c if is_unsafe(c) || matches!(c, '\u{200c}' | '\u{200d}') => out.extend(c.escape_unicode()),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("‹{byte:02x}›"));
        }
    }
    out
}

fn escaped(text: &str, out: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if out(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe
}

/// One grapheme of a text as it is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster<'a> {
    /// Byte offset in the original text.
    pub offset: usize,
    /// Bytes of the original text.
    pub len: usize,
    /// What is drawn.
    pub text: Cow<'a, str>,
    /// Columns it takes.
    pub width: usize,
}

/// The graphemes of `s`, visible and measured, with their place in `s`.
pub fn clusters(s: &str) -> impl Iterator<Item = Cluster<'_>> {
    s.grapheme_indices(true).map(|(offset, g)| {
        let text = visible(g);
        let width = width(&text);
        Cluster { offset, len: g.len(), text, width }
    })
}

/// `s`, made visible and cut to at most `columns`, with an ellipsis where something was cut.
pub fn fit(s: &str, columns: usize, ellipsis: &str) -> String {
    let safe = visible(s);
    if width(&safe) <= columns {
        return safe.into_owned();
    }
    let room = columns.saturating_sub(width(ellipsis));
    let mut out = String::new();
    let mut used = 0;
    for g in safe.graphemes(true) {
        let w = width(g);
        if used + w > room {
            break;
        }
        used += w;
        out.push_str(g);
    }
    if width(ellipsis) <= columns {
        out.push_str(ellipsis);
    }
    out
}

/// Unicode to plain ASCII for terminals that have nothing else: known symbols by a look-alike, the rest by `?`.
/// The number of columns does not change.
pub fn ascii(s: &str) -> Cow<'_, str> {
    if s.is_ascii() {
        return Cow::Borrowed(s);
    }
    let mut out = String::with_capacity(s.len());
    for g in s.graphemes(true) {
        if g.is_ascii() {
            out.push_str(g);
            continue;
        }
        let mut chars = g.chars();
        let (first, alone) = (chars.next().unwrap_or('?'), chars.next().is_none());
        let c = if alone { ascii_char(first) } else { '?' };
        out.push(c);
        for _ in 1..width(g) {
            out.push(' ');
        }
    }
    Cow::Owned(out)
}

fn ascii_char(c: char) -> char {
    match c {
        '·' | '∙' | '◦' | '␣' | '░' => '.',
        '─' | '━' | '╌' | '–' | '—' | '−' | '┄' => '-',
        '│' | '┃' | '▏' | '▕' | '┆' | '╎' | '▎' | '▌' => '|',
        '╭' | '╮' | '╰' | '╯' | '├' | '┤' | '┬' | '┴' | '┼' | '╋' | '┿' | '╂' => '+',
        '←' | '‹' => '<',
        '→' | '›' | '▸' => '>',
        '↑' | '▲' => '^',
        '↓' | '▼' | '▾' => 'v',
        '●' | '◉' => 'O',
        '○' => 'o',
        '■' | '█' | '▇' | '◆' | '▓' | '▒' => '#',
        '×' | '✕' | '╳' | '✗' => 'x',
        '✓' => 'y',
        '⏎' => '$',
        '…' => '~',
        '≥' => '>',
        '≤' => '<',
        'τ' => 't',
        'ρ' => 'r',
        'Δ' => 'D',
        'α' => 'a',
        'Σ' => 'S',
        'κ' => 'k',
        'ℓ' => 'l',
        '±' => '~',
        '‖' => '|',
        '÷' => '/',
        '≈' => '~',
        '╱' => '/',
        '╲' => '\\',
        '\u{00a0}'..='\u{00ff}' => '?',
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escape_sequences_become_pictures() {
        assert_eq!(visible("\x1b[31mred\x07"), "␛[31mred␇");
        assert_eq!(visible("a\tb\r\nc"), "a→b⏎c");
        assert_eq!(visible("\u{9b}2J"), "�2J");
        assert_eq!(visible("abc\u{202e}fed"), "abc◦fed");
        assert_eq!(visible("\u{301}"), "◌\u{301}");
    }

    #[test]
    fn messages_and_tokens_write_out_what_may_not_be_printed() {
        let evil = "a\u{1b}[2J\u{9b}31m\n\tb\u{202e}c";
        assert_eq!(line(evil), "a\\u{1b}[2J\\u{9b}31m\\n\\tb\\u{202e}c");
        assert_eq!(lines(evil), "a\\u{1b}[2J\\u{9b}31m\n\tb\\u{202e}c");
        assert_eq!(shortened("modèle", 6), "modèle");
        assert_eq!(shortened("a\u{7}bcd", 3), "a\\u{7}b…");
        assert_eq!(token("a\u{1b}[m\u{202e}\u{200d}b".as_bytes()), "a\\u{1b}[m\\u{202e}\\u{200d}b");
        assert_eq!(token(b"\xff x\n\t"), "‹ff›·x↵→");
    }

    #[test]
    fn addresses_lose_names_and_passwords() {
        for (text, safe) in [
            ("https://user:pass@host/a@b", "https://host/a@b"),
            ("at http://me@host:80?x, https://a:p@ss@host#f", "at http://host:80?x, https://host#f"),
            ("https://host/x a@b", "https://host/x a@b"),
            ("me@host", "me@host"),
            ("://", "://"),
        ] {
            assert_eq!(without_credentials(text), safe);
        }
    }

    #[test]
    fn ordinary_text_is_borrowed_and_measured() {
        for (text, columns) in [("plain", 5), ("é", 1), ("e\u{301}", 1), ("漢字", 4), ("👩‍🚀", 2), ("שלום", 4)]
        {
            assert!(matches!(visible(text), Cow::Borrowed(_)), "{text}");
            assert_eq!(width(text), columns, "{text}");
        }
    }

    #[test]
    fn fit_never_exceeds_its_columns() {
        assert_eq!(fit("漢字漢字", 5, "…"), "漢字…");
        assert_eq!(fit("abc", 3, "…"), "abc");
        assert_eq!(fit("abc", 0, "…"), "");
    }

    proptest! {
        #[test]
        fn nothing_unsafe_survives(s in any::<String>(), columns in 0usize..20) {
            let v = visible(&s);
            prop_assert!(!v.chars().any(is_unsafe));
            prop_assert_eq!(visible(&v), v.clone());
            prop_assert!(width(&fit(&s, columns, "…")) <= columns);
            prop_assert_eq!(clusters(&s).map(|c| c.len).sum::<usize>(), s.len());
            prop_assert!(clusters(&s).all(|c| c.width > 0));
        }

        #[test]
        fn ascii_keeps_the_columns(s in any::<String>()) {
            let v = visible(&s).into_owned();
            let a = ascii(&v).into_owned();
            prop_assert!(a.is_ascii());
            prop_assert_eq!(a.len(), v.graphemes(true).map(|g| width(g).max(1)).sum::<usize>());
        }
    }
}
