//! A display form of bytes that is safe in a terminal cell.

/// Makes bytes safe and readable in a terminal cell: space `·`, newline `↵`, tab `→`, other control characters and
/// bidirectional overrides as `\u{..}`, loose bytes as `‹hex›`.
pub fn visible(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                ' ' => out.push('·'),
                '\n' => out.push('↵'),
                '\t' => out.push('→'),
                c if c.is_control() || is_format_control(c) => {
                    out.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("‹{byte:02x}›"));
        }
    }
    out
}

/// Characters that change the direction or joining of what follows without being seen.
fn is_format_control(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_raw_reaches_the_terminal() {
        let shown = visible("a\u{1b}[31m\u{7}\u{202e}b\u{9b}".as_bytes());
        assert!(shown.chars().all(|c| !c.is_control() && !is_format_control(c)), "{shown}");
        assert_eq!(visible(b"\xff x\n"), "‹ff›·x↵");
    }
}
