//! Why the token under the cursor is masked or not: score against τ, draw against p, in numbers and in a sentence.

use ratatui::layout::Rect;

use crate::mask::reason::{protected, reason};
use crate::mask::types::{Decision, DecisionRule, MaskSettings, Polarity, PositionDecision, Scale, State};
use crate::screen::app::App;
use crate::screen::explore::details::PANEL;
use crate::screen::explore::explain;
use crate::screen::explore::mask::rates;
use crate::screen::explore::tokens::PIN;
use crate::screen::pane::{BLANK, Pane, TitlePart, empty_text, signed};
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;

pub static PANE: Pane = Pane {
    name: "why",
    title: "Why",
    context: |_| PANEL,
    subtitle,
    draw,
    explain: explain::of_token,
    ..BLANK
};

/// One comparison of the rule: a value against a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Test {
    pub value: f64,
    pub limit: f64,
    /// Whether the value must be above the limit to pass.
    pub above: bool,
}

impl Test {
    pub fn passes(&self) -> bool {
        if self.above { self.value > self.limit } else { self.value < self.limit }
    }

    /// The sign that holds between value and limit, e.g. `>`.
    pub fn sign(&self) -> &'static str {
        match (self.above, self.passes()) {
            (true, true) | (false, false) if self.value == self.limit => "=",
            (true, true) => ">",
            (true, false) => "≤",
            (false, true) => "<",
            (false, false) => "≥",
        }
    }
}

/// Why one position is in the state it is in.
#[derive(Clone, Debug, PartialEq)]
pub struct Why {
    pub state: State,
    /// Score against τ; `None` when protected, undefined or ignored.
    pub score: Option<Test>,
    /// Draw against p; `None` when protected.
    pub draw: Option<Test>,
    /// Rank among the eligible, and how many there are.
    pub rank: Option<(usize, usize)>,
    /// The verdict in words.
    pub sentence: String,
}

/// Explains position `i`.
pub fn explain(mask: &MaskSettings, decision: &Decision, i: usize) -> Option<Why> {
    let d = decision.positions.get(i)?;
    if !matches!(decision.rule, DecisionRule::Threshold | DecisionRule::Exact { .. }) {
        // Neither τ nor p was asked.
        let rank = d.rank.map(|r| (r, decision.units));
        let sentence = reason(mask, decision, i);
        return Some(Why { state: d.state, score: None, draw: None, rank, sentence });
    }
    let is_protected = d.state == State::Protected;
    let score = match mask.polarity {
        Polarity::High => d.score.map(|value| Test { value, limit: mask.threshold, above: true }),
        Polarity::Low => d.score.map(|value| Test { value, limit: 1.0 - mask.threshold, above: false }),
        Polarity::Random => None,
    };
    let limit = match mask.polarity {
        Polarity::Random => (1.0 - mask.threshold) * mask.probability,
        _ => mask.probability,
    };
    let draw = (!is_protected).then_some(Test { value: d.draw, limit, above: false });
    let rank = d.rank.map(|r| (r, decision.eligible));
    Some(Why {
        state: d.state,
        score: score.filter(|_| !is_protected),
        draw,
        rank,
        sentence: sentence(mask, d, score, limit),
    })
}

fn sentence(mask: &MaskSettings, d: &PositionDecision, score: Option<Test>, limit: f64) -> String {
    match d.state {
        State::Masked => format!("masked: {}", d.op.unwrap_or(mask.op).consequence(mask)),
        State::Score if mask.exact_k => "kept: beyond the exact count".to_owned(),
        State::Score => match score {
            Some(t) if t.above => format!("kept: its score {:.3} does not exceed τ {:.3}", t.value, t.limit),
            Some(t) => format!("kept: its score {:.3} is not below 1−τ {:.3}", t.value, t.limit),
            None => "kept: its score is on the other side of τ".to_owned(),
        },
        State::Draw if mask.exact_k => "kept: its draw is beyond the exact count".to_owned(),
        State::Draw => format!("kept: its draw {:.3} is not below {:.3}", d.draw, limit),
        State::Protected => protected(d),
    }
}

pub fn subtitle(app: &App) -> Vec<TitlePart> {
    match app.results.tokens().get(app.view.key) {
        Some(t) => vec![
            TitlePart::new(t.display.clone(), Role::Strong),
            TitlePart::new(format!("position {} · id {}", app.view.key, t.id), Role::Dim),
        ],
        None => Vec::new(),
    }
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let i = app.view.key;
    let why = app.results.decision().and_then(|d| explain(&app.doc.mask, d, i));
    let (Some(why), Some(decided)) = (why, &app.results.decided) else {
        empty_text(c, app, area, "Why a token is masked, or not, appears here");
        return;
    };
    let right = area.right();
    let mut y = area.y;
    let op = decided.value.decision.positions.get(i).and_then(|p| p.op);
    let role = c.theme.state_role(why.state);
    let (glyph, style) = (c.theme.state_glyph(why.state, op), c.theme.bold(role));
    let after = c.spans(area.x, y, &[(glyph, style), (" ", style)], right);
    let rest = Rect { x: after, y, width: right.saturating_sub(after), height: area.bottom() - y };
    y += c.paragraph(rest, &why.sentence, style).max(1);
    if area.height > 8 {
        y += 1;
    }
    let rank = why.rank.map_or_else(String::new, |(r, n)| format!("top {r}/{n}"));
    let limit = if app.doc.mask.polarity == Polarity::Low { "1−τ" } else { "τ" };
    match &why.score {
        Some(test) => {
            let log = app.doc.mask.scale == Scale::Raw;
            y = Ruler { name: "score", test, limit, note: &rank, log }.draw(c, area, y);
        }
        None if why.state != State::Protected && app.doc.mask.polarity == Polarity::Random => {
            y = note(c, area, y, "score", "ignored: polarity random");
        }
        None => {}
    }
    if let Some(test) = &why.draw {
        let limit = if app.doc.mask.polarity == Polarity::Random { "(1−τ)p" } else { "p" };
        y = Ruler { name: "draw", test, limit, note: "", log: false }.draw(c, area, y);
    }
    details(c, app, area, y);
    if app.stale(decided) {
        c.fade(area);
    }
}

fn note(c: &mut Canvas, area: Rect, y: u16, name: &str, text: &str) -> u16 {
    if y < area.bottom() {
        let dim = c.style(Role::Dim);
        c.spans(area.x, y, &[(name, dim), ("  ", dim), (text, dim)], area.right());
    }
    y + 1
}

/// A value and its limit: in numbers, and on a ruler from 0 to 1 with the passing side marked.
struct Ruler<'a> {
    name: &'a str,
    test: &'a Test,
    /// What the limit is called.
    limit: &'a str,
    /// At the right edge.
    note: &'a str,
    /// Raw attention crowds at the low end of a linear ruler.
    log: bool,
}

impl Ruler<'_> {
    /// Draws from line `y` on; returns the line below.
    fn draw(&self, c: &mut Canvas, area: Rect, y: u16) -> u16 {
        if y >= area.bottom() {
            return y;
        }
        self.numbers(c, area, y);
        let (x, width) = (area.x + 6, area.width.saturating_sub(7));
        if y + 1 >= area.bottom() || area.height < 7 || width < 8 {
            return y + 1;
        }
        let place = |v: f64| {
            let at = if self.log { 1.0 + v.max(1e-4).log10() / 4.0 } else { v };
            (at.clamp(0.0, 1.0) * f64::from(width - 1)).round() as u16
        };
        let cut = place(self.test.limit);
        let (pass, fail) = (c.style(Role::Masked), c.style(Role::Border));
        let heavy = if c.ascii() { "=" } else { "━" };
        for i in 0..width {
            let passing = if self.test.above { i > cut } else { i < cut };
            let (symbol, style) = if passing { (heavy, pass) } else { ("─", fail) };
            c.put(x + i, y + 1, symbol, style);
        }
        let (accent, strong) = (c.theme.bold(Role::Accent), c.theme.bold(Role::Strong));
        c.put(x + cut, y + 1, "│", accent);
        c.put(x + place(self.test.value), y + 1, if c.ascii() { "O" } else { "●" }, strong);
        y + 2
    }

    fn numbers(&self, c: &mut Canvas, area: Rect, y: u16) {
        let (dim, strong) = (c.style(Role::Dim), c.theme.bold(Role::Strong));
        let verdict = c.theme.bold(if self.test.passes() { Role::Masked } else { Role::Dim });
        let digits = |v: f64| if v != 0.0 && v.abs() < 0.01 { format!("{v:.5}") } else { format!("{v:.4}") };
        let (name, sign) = (format!("{:<6}", self.name), format!(" {} ", self.test.sign()));
        let (value, bound) = (digits(self.test.value), digits(self.test.limit));
        let pieces = [
            (name.as_str(), dim),
            (&value, strong),
            (&sign, verdict),
            (self.limit, dim),
            (" ", dim),
            (&bound, strong),
            (if self.test.passes() { " ✓" } else { " ✗" }, verdict),
        ];
        let end = c.spans(area.x, y, &pieces, area.right());
        c.right(end + 1, area.right(), y, self.note, dim);
    }
}

/// Unscaled score, surprisal before and after, the exact bytes.
fn details(c: &mut Canvas, app: &App, area: Rect, from: u16) {
    let i = app.view.key;
    let mut y = from + u16::from(area.height > 11);
    let mut line = |c: &mut Canvas, name: &str, value: &str| {
        if y < area.bottom() && !value.is_empty() {
            let (dim, text) = (c.style(Role::Dim), c.style(Role::Text));
            let x = c.text(area.x, y, &format!("{name:<11}"), dim, area.width);
            c.label(x, y, value, text, area.right().saturating_sub(x));
            y += 1;
        }
    };
    let raw = app.results.scores.as_ref().and_then(|s| s.value.values.get(i).copied().flatten());
    if let Some(raw) = raw {
        let share =
            app.results.decision().map(|d| rates::share(app.doc.mask.polarity, app.doc.mask.threshold, d));
        let among = share.map_or_else(String::new, |s| format!("  ({:.0} % beyond τ)", s * 100.0));
        line(c, "unscaled", &format!("{raw:.5}{among}"));
    }
    let base = app.results.prediction().and_then(|p| p.surprisal.get(i).copied().flatten());
    let masked =
        app.results.masked.as_ref().and_then(|m| m.value.prediction.surprisal.get(i).copied().flatten());
    if let Some(b) = base {
        let change = masked.map_or_else(String::new, |m| format!(" → {m:.3}  ({})", signed(Some(m - b))));
        line(c, "surprisal", &format!("{b:.3}{change} nats"));
    }
    if let Some(token) = app.results.tokens().get(i) {
        let hex: Vec<String> = token.bytes.iter().take(24).map(|b| format!("{b:02x}")).collect();
        line(c, "bytes", &hex.join(" "));
    }
    let pinned = app.doc.mask.pinned.iter().any(|r| r.contains(&i));
    if pinned {
        line(c, "pinned", &format!("{} unpins it", app.key_label(&PIN)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::options::Options;

    fn one(state: State, score: Option<f64>, draw: f64) -> Decision {
        let p = PositionDecision {
            state,
            protection: None,
            score,
            rank: Some(3),
            draw,
            op: None,
            replacement: None,
            unit: 0,
            history: 0.0,
            heads: None,
        };
        Decision {
            positions: vec![p],
            eligible: 5,
            selected: 0,
            units: 5,
            scale: Scale::Rank,
            rule: DecisionRule::Threshold,
        }
    }

    #[test]
    fn the_printed_tests_give_the_printed_state() {
        let mask = Options::default().mask;
        let w = explain(&mask, &one(State::Masked, Some(0.9), 0.2), 0).unwrap();
        assert!(w.score.unwrap().passes() && w.draw.unwrap().passes());
        assert_eq!(w.rank, Some((3, 5)));
        let w = explain(&mask, &one(State::Score, Some(0.5), 0.2), 0).unwrap();
        assert_eq!((w.score.unwrap().passes(), w.score.unwrap().sign()), (false, "≤"));
        assert_eq!(w.sentence, "kept: its score 0.500 does not exceed τ 0.700");
        let w = explain(&mask, &one(State::Draw, Some(0.9), 0.8), 0).unwrap();
        assert!(w.sentence.contains("0.800 is not below 0.500"));
        assert!(explain(&mask, &one(State::Draw, Some(0.9), 0.8), 1).is_none());
    }

    #[test]
    fn polarity_turns_the_test_round() {
        let mut mask = Options::default().mask;
        mask.polarity = Polarity::Low;
        let w = explain(&mask, &one(State::Masked, Some(0.2), 0.2), 0).unwrap();
        assert!((w.score.unwrap().limit - 0.3).abs() < 1e-12 && w.score.unwrap().passes());
        mask.polarity = Polarity::Random;
        let w = explain(&mask, &one(State::Draw, Some(0.2), 0.2), 0).unwrap();
        assert_eq!(w.score, None);
        assert!((w.draw.unwrap().limit - 0.15).abs() < 1e-12);
    }
}
