//! What reaches the screen: snapshots with style, mouse on real layouts, hostile text, any size and any action.

pub mod desk;
mod mouse;
mod property;
mod snapshots;
mod state;
#[cfg(unix)]
mod terminal;

/// Set in the process inside a pseudo-terminal; its value says what its engine and its screen do.
pub const ROLE: &str = "MASKSCOPE_TEST_ROLE";

/// What some roles are about: a drawing thread that panics, overflows its stack or aborts.
pub fn fail_as_asked() {
    fn deeper(depth: usize) -> usize {
        let room = std::hint::black_box([depth; 512]);
        if depth == usize::MAX { 0 } else { deeper(depth + 1) + room[depth % 512] }
    }
    match std::env::var(ROLE).as_deref() {
        Ok("broken") => panic!("a panic that a test asked for"),
        Ok("overflowing") => assert_eq!(deeper(0), usize::MAX, "a stack that overflows"),
        Ok("aborting") => std::process::abort(),
        _ => {}
    }
}

use std::fmt::Write;

use crossterm::event::MouseEvent;
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

use crate::screen::draw::draw;
use crate::screen::events::Event;
use crate::screen::mouse::Mouse;
use crate::screen::options::Look;
use crate::screen::testing::Stage;
use crate::screen::widgets::colours::{Ramp, Ramps};
use crate::screen::widgets::theme::{Role, Theme};

/// Draws a stage at a size.
pub fn picture(stage: &mut Stage, width: u16, height: u16) -> Buffer {
    fit(stage, width, height);
    let mut buf = Buffer::empty(Rect::new(0, 0, width, height));
    draw(&mut buf, &stage.app);
    buf
}

pub fn fit(stage: &mut Stage, width: u16, height: u16) {
    stage.event(Event::Resize(width, height));
}

impl Stage {
    /// What the mouse does, done.
    pub fn mouse(&mut self, mouse: &mut Mouse, event: MouseEvent) {
        mouse.handle(&mut self.app, event);
        self.act(|_| {});
    }
}

/// The characters, row by row.
pub fn text(buf: &Buffer) -> String {
    let mut out = String::new();
    for y in 0..buf.area.height {
        let mut skip = 0;
        let mut row = String::new();
        for x in 0..buf.area.width {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let symbol = buf[(x, y)].symbol();
            skip = crate::support::visible::width(symbol).saturating_sub(1);
            row.push_str(symbol);
        }
        out.push_str(row.trim_end());
        out.push('\n');
    }
    out
}

/// The roles of cells, a letter each, in the places of the characters: what is written there (capital where it is
/// bold), then the background where it is not the screen's own. Digits are tenths of a colour table.
pub fn roles(buf: &Buffer, look: Look) -> String {
    let theme = Theme::new(look);
    let grid = |letter: &dyn Fn(&Cell) -> char| {
        let mut out = String::new();
        for y in 0..buf.area.height {
            let row: String = (0..buf.area.width).map(|x| letter(&buf[(x, y)])).collect();
            out.push_str(row.trim_end());
            out.push('\n');
        }
        out
    };
    format!("{}\n{}", grid(&|cell| ink(cell, &theme)), grid(&|cell| paper(cell, &theme)))
}

const LETTERS: [(Role, char); 12] = [
    (Role::Text, 't'),
    (Role::Strong, 's'),
    (Role::Dim, 'd'),
    (Role::Faint, 'f'),
    (Role::Accent, 'a'),
    (Role::Border, 'b'),
    (Role::Masked, 'm'),
    (Role::Draw, 'w'),
    (Role::Score, 'c'),
    (Role::Protected, 'p'),
    (Role::Good, 'g'),
    (Role::Bad, 'x'),
];

/// The letter of what is written in a cell.
fn ink(cell: &Cell, theme: &Theme) -> char {
    if cell.symbol().trim().is_empty() {
        return ' ';
    }
    let letter = LETTERS.iter().find(|(role, _)| theme.style(*role).fg == Some(cell.fg));
    let letter = letter.map(|(_, letter)| *letter).or_else(|| tenth(cell.fg, theme)).unwrap_or('?');
    if cell.modifier.contains(Modifier::BOLD) { letter.to_ascii_uppercase() } else { letter }
}

/// The letter of a cell's background.
fn paper(cell: &Cell, theme: &Theme) -> char {
    let named = [
        (theme.base(), ' '),
        (theme.popup(), '+'),
        (theme.selected(), '='),
        (theme.marked(), '%'),
        (theme.badge(), '@'),
    ];
    let letter = named.iter().find(|(style, _)| style.bg.unwrap_or(Color::Reset) == cell.bg);
    letter.map(|(_, letter)| *letter).or_else(|| tenth(cell.bg, theme)).unwrap_or('?')
}

/// The place of a colour in one of the tables, in tenths.
fn tenth(colour: Color, theme: &Theme) -> Option<char> {
    let Ramps { heat, difference, tint, plane } = theme.ramps;
    let at = |table: &Ramp| table.iter().position(|rgb| theme.colour(*rgb) == colour);
    let place = [heat, difference, tint, plane].into_iter().find_map(at)?;
    char::from_digit((place * 10 / 256) as u32, 10)
}

/// The styles, as runs: `columns fg/bg+modifiers`, one line per row.
pub fn styles(buf: &Buffer) -> String {
    let mut out = String::new();
    for y in 0..buf.area.height {
        let _ = write!(out, "{y}:");
        let mut x = 0;
        while x < buf.area.width {
            let style = name(buf, x, y);
            let start = x;
            while x < buf.area.width && name(buf, x, y) == style {
                x += 1;
            }
            let _ = write!(out, " {start}+{} {style}", x - start);
        }
        out.push('\n');
    }
    out
}

fn name(buf: &Buffer, x: u16, y: u16) -> String {
    let cell = &buf[(x, y)];
    let mut out = format!("{}/{}", colour(cell.fg), colour(cell.bg));
    for (flag, letter) in [
        (Modifier::BOLD, 'B'),
        (Modifier::DIM, 'D'),
        (Modifier::REVERSED, 'R'),
        (Modifier::UNDERLINED, 'U'),
        (Modifier::CROSSED_OUT, 'X'),
    ] {
        if cell.modifier.contains(flag) {
            out.push(letter);
        }
    }
    out
}

fn colour(c: Color) -> String {
    match c {
        Color::Reset => "-".to_owned(),
        Color::Rgb(r, g, b) => format!("{r:02x}{g:02x}{b:02x}"),
        Color::Indexed(i) => format!("i{i}"),
        other => format!("{other:?}"),
    }
}

/// The mix in force, in words.
pub fn mix_of(stage: &Stage) -> String {
    stage.last().mask.mix.map_or(format!("only {}", stage.last().mask.op), |m| m.to_string())
}
