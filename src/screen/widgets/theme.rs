//! What each kind of thing looks like, on every kind of terminal: true colour, 256, 16, `NO_COLOR`, ASCII. The same
//! information is always carried by a glyph or by bold, underline and reverse as well.

use ratatui::style::{Color, Modifier, Style};

use crate::mask::types::{Op, State};
use crate::screen::options::{Depth, Look};
use crate::screen::widgets::colours::{self, Ramps, Rgb, mix, terminal};

/// The kinds of things on screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Text,
    /// Numbers and names that matter.
    Strong,
    Dim,
    Faint,
    Accent,
    Border,
    /// Border and title of the pane that takes keys.
    Focus,
    Masked,
    Draw,
    Score,
    Protected,
    Good,
    Bad,
    Warn,
}

/// How cells of a map are painted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Two pixels per character: upper half blocks.
    Half,
    /// One pixel per character: a coloured space.
    Solid,
    /// One pixel per character: its density is the value.
    Shade,
}

/// A look, ready to use.
pub struct Theme {
    pub look: Look,
    pub ramps: &'static Ramps,
}

impl Theme {
    pub fn new(look: Look) -> Self {
        Theme { look, ramps: colours::ramps(look.dark) }
    }

    /// Whether gradients are possible.
    pub fn rich(&self) -> bool {
        matches!(self.look.depth, Depth::True | Depth::Indexed)
    }

    pub fn paint(&self) -> Paint {
        match (self.rich(), self.look.ascii) {
            (true, false) => Paint::Half,
            (true, true) => Paint::Solid,
            (false, _) => Paint::Shade,
        }
    }

    pub fn background(&self) -> Rgb {
        if self.look.dark { (15, 17, 23) } else { (251, 250, 247) }
    }

    /// Background of boxes that lie over the panes.
    fn raised(&self) -> Rgb {
        if self.look.dark { (26, 29, 41) } else { (255, 255, 255) }
    }

    fn rgb(&self, role: Role) -> Rgb {
        let (dark, light): (Rgb, Rgb) = match role {
            Role::Text => ((205, 209, 222), (44, 47, 58)),
            Role::Strong => ((242, 244, 250), (16, 18, 24)),
            Role::Dim => ((139, 145, 167), (98, 103, 118)),
            Role::Faint => ((72, 78, 98), (176, 179, 190)),
            Role::Accent => ((116, 215, 196), (13, 116, 108)),
            Role::Border => ((48, 53, 71), (208, 209, 216)),
            Role::Focus => ((116, 215, 196), (13, 116, 108)),
            Role::Masked => ((255, 125, 92), (190, 58, 8)),
            Role::Draw => ((236, 190, 84), (146, 96, 0)),
            Role::Score => ((106, 112, 134), (140, 144, 156)),
            Role::Protected => ((98, 178, 240), (26, 92, 164)),
            Role::Good => ((150, 208, 130), (50, 118, 30)),
            Role::Bad => ((255, 105, 97), (184, 28, 28)),
            Role::Warn => ((236, 190, 84), (146, 96, 0)),
        };
        if self.look.dark { dark } else { light }
    }

    /// Foreground style of a role.
    pub fn style(&self, role: Role) -> Style {
        match self.look.depth {
            Depth::True | Depth::Indexed => Style::new().fg(terminal(self.look.depth, self.rgb(role))),
            Depth::Ansi => Style::new().fg(ansi(role, self.look.dark)).add_modifier(weight(role, false)),
            Depth::None => Style::new().add_modifier(weight(role, true)),
        }
    }

    pub fn bold(&self, role: Role) -> Style {
        self.style(role).add_modifier(Modifier::BOLD)
    }

    /// The whole screen's own style.
    pub fn base(&self) -> Style {
        if self.rich() {
            self.style(Role::Text).bg(terminal(self.look.depth, self.background()))
        } else {
            Style::new()
        }
    }

    /// The style of boxes that lie over the panes.
    pub fn popup(&self) -> Style {
        if self.rich() {
            self.style(Role::Text).bg(terminal(self.look.depth, self.raised()))
        } else {
            Style::new()
        }
    }

    /// A selected row or token.
    pub fn selected(&self) -> Style {
        if self.rich() {
            let bg = mix(self.background(), self.rgb(Role::Accent), if self.look.dark { 0.26 } else { 0.22 });
            self.bold(Role::Strong).bg(terminal(self.look.depth, bg))
        } else {
            Style::new().add_modifier(Modifier::REVERSED)
        }
    }

    /// Selected text in the editor.
    pub fn marked(&self) -> Style {
        if self.rich() {
            let bg = mix(self.background(), self.rgb(Role::Protected), 0.34);
            self.style(Role::Strong).bg(terminal(self.look.depth, bg))
        } else {
            Style::new().add_modifier(Modifier::REVERSED)
        }
    }

    /// A dropped token's cells where they cannot be hatched.
    pub fn dropped(&self) -> Rgb {
        mix(self.background(), self.rgb(Role::Masked), 0.2)
    }

    /// A small sign with the accent as its background, e.g. the program's name.
    pub fn badge(&self) -> Style {
        if self.rich() {
            let fg = terminal(self.look.depth, self.background());
            Style::new()
                .fg(fg)
                .bg(terminal(self.look.depth, self.rgb(Role::Accent)))
                .add_modifier(Modifier::BOLD)
        } else {
            Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD)
        }
    }

    /// A colour of a table as a background; nothing on terminals without gradients.
    pub fn on(&self, rgb: Rgb) -> Style {
        if self.rich() { Style::new().bg(terminal(self.look.depth, rgb)) } else { Style::new() }
    }

    /// The colour of an operation, the brighter the stronger.
    pub fn op(&self, op: Op, strength: f64) -> Rgb {
        let role = match op {
            Op::Replace => Role::Masked,
            Op::Hide => Role::Protected,
            Op::Drop => Role::Bad,
            Op::Evict | Op::Skip => Role::Draw,
            Op::Keep => Role::Good,
        };
        mix(self.background(), self.rgb(role), strength.clamp(0.0, 1.0))
    }

    pub fn colour(&self, rgb: Rgb) -> Color {
        terminal(self.look.depth, rgb)
    }

    pub fn state_role(&self, state: State) -> Role {
        match state {
            State::Masked => Role::Masked,
            State::Score => Role::Score,
            State::Draw => Role::Draw,
            State::Protected => Role::Protected,
        }
    }

    /// The mark of a state; a masked position shows what is done to it.
    pub fn state_glyph(&self, state: State, op: Option<Op>) -> &'static str {
        match (self.look.ascii, state) {
            (false, State::Masked) => match op {
                Some(Op::Replace) | None => "◆",
                Some(Op::Hide) => "◌",
                Some(Op::Drop) => "✕",
                Some(Op::Evict) => "⇥",
                Some(Op::Skip) => "↷",
                Some(Op::Keep) => "◇",
            },
            (false, State::Draw) => "○",
            (false, State::Score) => "·",
            (false, State::Protected) => "▪",
            (true, State::Masked) => match op {
                Some(Op::Replace) | None => "#",
                Some(Op::Hide) => "H",
                Some(Op::Drop) => "X",
                Some(Op::Evict) => "E",
                Some(Op::Skip) => "S",
                Some(Op::Keep) => "K",
            },
            (true, State::Draw) => "o",
            (true, State::Score) => ".",
            (true, State::Protected) => "|",
        }
    }

    /// One of eight levels as a character.
    pub fn level(&self, x: f64) -> &'static str {
        const BARS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
        const DIGITS: [&str; 8] = ["0", "1", "2", "3", "4", "5", "6", "7"];
        let i = if x.is_finite() { (x.clamp(0.0, 1.0) * 7.99) as usize } else { 0 };
        if self.look.ascii { DIGITS[i] } else { BARS[i] }
    }

    /// A value as the density of a character, for terminals without gradients. Negative values (differences) have
    /// characters of their own, so that the sign needs no colour.
    pub fn shade(&self, x: f64, negative: bool) -> &'static str {
        const UP: [&str; 6] = [" ", "·", "░", "▒", "▓", "█"];
        const DOWN: [&str; 6] = [" ", "˗", "-", "=", "≡", "≣"];
        const ASCII_UP: [&str; 9] = [" ", ".", ":", "+", "*", "o", "%", "#", "@"];
        const ASCII_DOWN: [&str; 6] = [" ", ",", "-", "~", "=", "N"];
        let ramp: &[&str] = match (self.look.ascii, negative) {
            (false, false) => &UP,
            (false, true) => &DOWN,
            (true, false) => &ASCII_UP,
            (true, true) => &ASCII_DOWN,
        };
        let x = if x.is_finite() { x.clamp(0.0, 1.0) } else { 0.0 };
        // Only a true zero is blank: whatever is there must be seen.
        let i = (x * (ramp.len() - 1) as f64).ceil() as usize;
        ramp[i.min(ramp.len() - 1)]
    }

    /// Colours for up and down of a difference on terminals with 16 colours.
    pub fn shade_style(&self, negative: bool) -> Style {
        match (self.look.depth, negative) {
            (Depth::Ansi, true) => Style::new().fg(Color::Blue),
            (Depth::Ansi, false) => Style::new().fg(Color::Yellow),
            _ => Style::new(),
        }
    }
}

fn ansi(role: Role, dark: bool) -> Color {
    match role {
        Role::Text | Role::Strong => Color::Reset,
        Role::Dim | Role::Faint | Role::Border | Role::Score => Color::DarkGray,
        Role::Accent | Role::Focus => Color::Cyan,
        Role::Masked | Role::Bad => {
            if dark {
                Color::LightRed
            } else {
                Color::Red
            }
        }
        Role::Draw | Role::Warn => Color::Yellow,
        Role::Protected => {
            if dark {
                Color::LightBlue
            } else {
                Color::Blue
            }
        }
        Role::Good => Color::Green,
    }
}

/// What stands in for colour where there is little or none.
fn weight(role: Role, colourless: bool) -> Modifier {
    match role {
        Role::Strong | Role::Focus | Role::Bad => Modifier::BOLD,
        Role::Masked if colourless => Modifier::BOLD,
        Role::Protected if colourless => Modifier::UNDERLINED,
        Role::Faint | Role::Score if colourless => Modifier::DIM,
        _ => Modifier::empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(dark: bool, depth: Depth, ascii: bool) -> Theme {
        Theme::new(Look { dark, depth, ascii })
    }

    #[test]
    fn states_differ_by_glyph_alone() {
        for ascii in [false, true] {
            let t = look(true, Depth::None, ascii);
            let mut seen: Vec<&str> = State::ALL
                .iter()
                .filter(|s| **s != State::Masked)
                .map(|s| t.state_glyph(*s, None))
                .chain(Op::ALL.iter().map(|op| t.state_glyph(State::Masked, Some(*op))))
                .collect();
            let n = seen.len();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), n);
            assert!(!ascii || seen.iter().all(|g| g.is_ascii()));
        }
    }

    #[test]
    fn text_is_readable_on_its_background() {
        let luminance = |(r, g, b): Rgb| {
            let l = |v: u8| (f64::from(v) / 255.0).powf(2.2);
            0.2126 * l(r) + 0.7152 * l(g) + 0.0722 * l(b)
        };
        for dark in [true, false] {
            let t = look(dark, Depth::True, false);
            for role in
                [Role::Text, Role::Strong, Role::Dim, Role::Accent, Role::Masked, Role::Draw, Role::Protected]
            {
                for bg in [t.background(), t.raised()] {
                    let (a, b) = (luminance(t.rgb(role)), luminance(bg));
                    let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                    assert!(contrast > 4.0, "{role:?} {dark}: {contrast:.1}");
                }
            }
        }
    }

    #[test]
    fn without_colour_nothing_is_coloured() {
        let t = look(true, Depth::None, false);
        for style in
            [t.style(Role::Masked), t.base(), t.selected(), t.badge(), t.on((9, 9, 9)), t.shade_style(true)]
        {
            assert!(style.fg.is_none() && style.bg.is_none());
        }
    }

    #[test]
    fn a_weak_value_is_never_blank() {
        for ascii in [false, true] {
            for negative in [false, true] {
                let t = look(true, Depth::None, ascii);
                assert_eq!(t.shade(0.0, negative), " ");
                assert_ne!(t.shade(1e-6, negative), " ");
                assert_ne!(t.shade(1.0, false), t.shade(1.0, true));
            }
        }
    }
}
