//! How tokens are laid out in the strip: which row and column each one gets. Pure; shared by drawing, mouse and keys.

use std::ops::Range;

use crate::engine::types::Token;
use crate::support::visible::{visible, width};

/// Longest token drawn in full, in columns.
const LONGEST: usize = 24;

/// Columns of a token's box: its text (cut when very long) and an edge on each side.
pub fn box_width(token: &Token, columns: usize) -> usize {
    (width(&visible(&token.display)).clamp(1, LONGEST) + 2).min(columns.max(1))
}

/// Token ranges of the rows of a strip `columns` wide.
pub fn rows(tokens: &[Token], columns: usize) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let (mut start, mut used) = (0, 0);
    for (i, token) in tokens.iter().enumerate() {
        let w = box_width(token, columns);
        if i > start && used + w > columns {
            out.push(start..i);
            (start, used) = (i, 0);
        }
        used += w;
    }
    if start < tokens.len() {
        out.push(start..tokens.len());
    }
    out
}

/// First column of a token within its row.
pub fn column(tokens: &[Token], row: &Range<usize>, token: usize, columns: usize) -> usize {
    tokens[row.start..token.clamp(row.start, row.end)].iter().map(|t| box_width(t, columns)).sum()
}

/// The token at a column of a row, if one is there.
pub fn token_at(tokens: &[Token], row: &Range<usize>, at: usize, columns: usize) -> Option<usize> {
    let mut used = 0;
    row.clone().find(|i| {
        used += box_width(&tokens[*i], columns);
        at < used
    })
}

/// The token one row up or down from `token`, at about the same place.
pub fn beside(tokens: &[Token], columns: usize, token: usize, down: bool) -> usize {
    let rows = rows(tokens, columns);
    let Some(here) = rows.iter().position(|r| r.contains(&token)) else { return token };
    let next = if down { here + 1 } else { here.wrapping_sub(1) };
    let Some(row) = rows.get(next) else { return token };
    let middle = column(tokens, &rows[here], token, columns) + box_width(&tokens[token], columns) / 2;
    token_at(tokens, row, middle, columns).unwrap_or(row.end - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(words: &[&str]) -> Vec<Token> {
        words
            .iter()
            .map(|w| Token { id: 0, display: (*w).to_owned(), bytes: Vec::new(), span: (0, 0) })
            .collect()
    }

    #[test]
    fn tokens_flow_into_rows() {
        let t = tokens(&["The", "·captain", "·looked", "·at", "·sea"]);
        assert_eq!(rows(&t, 19), [0..2, 2..4, 4..5]);
        assert_eq!(column(&t, &(0..2), 1, 19), 5);
        assert_eq!(token_at(&t, &(0..2), 4, 19), Some(0));
        assert_eq!(token_at(&t, &(0..2), 18, 19), None);
        assert_eq!(beside(&t, 19, 1, true), 3);
        assert_eq!(beside(&t, 19, 3, false), 1);
        assert_eq!(beside(&t, 19, 4, true), 4);
    }

    #[test]
    fn an_endless_token_still_fits() {
        let long = "x".repeat(500);
        let t = tokens(&[&long, ""]);
        assert_eq!(box_width(&t[0], 10), 10);
        assert_eq!(box_width(&t[1], 10), 3);
        assert!(rows(&[], 10).is_empty());
    }
}
