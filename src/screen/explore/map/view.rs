//! Which part of a T × T map is on screen and how large a token is there. Pure: zoom, pan and hit tests use it as well
//! as the drawing. A *pixel* is the smallest thing that has its own colour: one column wide and, with half blocks, half
//! a line high.

use std::ops::Range;

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zoom {
    /// The whole map, as large as it fits.
    Fit,
    /// 2^level pixels per token (level ≥ 0), or 2^-level tokens per pixel.
    Level(i8),
}

/// One axis: tokens to pixels. Either a token has whole pixels, or (pooled) a pixel has one token or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Tokens in all.
    pub len: usize,
    /// First token shown, and how many are (the last one perhaps in part).
    pub start: usize,
    pub span: usize,
    /// Pixels that a token takes; 0 when pooled.
    pub pixels: usize,
    /// Pixels on screen that hold tokens.
    pub size: usize,
}

impl Axis {
    /// The tokens under a pixel; empty past the end.
    pub fn at(&self, pixel: usize) -> Range<usize> {
        if pixel >= self.size {
            return self.len..self.len;
        }
        if let Some(i) = pixel.checked_div(self.pixels) {
            return self.start + i..self.start + i + 1;
        }
        self.start + pixel * self.span / self.size..self.start + (pixel + 1) * self.span / self.size
    }

    /// The pixels of a token, if it is in view.
    pub fn of(&self, token: usize) -> Option<Range<usize>> {
        let i = token.checked_sub(self.start).filter(|i| *i < self.span)?;
        if self.pixels > 0 {
            let from = i * self.pixels;
            return (from < self.size).then(|| from..(from + self.pixels).min(self.size));
        }
        let pixel = ((i + 1) * self.size - 1) / self.span;
        Some(pixel..pixel + 1)
    }

    /// How many tokens are wholly in view.
    pub fn visible(&self) -> usize {
        self.size.checked_div(self.pixels).unwrap_or(self.span)
    }

    /// Whether several tokens share a pixel.
    pub fn pooled(&self) -> bool {
        self.pixels == 0
    }
}

/// Both axes: keys run right, queries run down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapView {
    pub keys: Axis,
    pub queries: Axis,
}

/// Room for a map, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    pub width: usize,
    pub height: usize,
    /// Pixels per line: 2 with half blocks, 1 with shaded characters.
    pub per_line: usize,
}

/// Pixels per token, or tokens per pixel.
#[derive(Clone, Copy, Debug)]
enum Size {
    Pixels(usize),
    Tokens(usize),
    /// All tokens in all of the room.
    Whole,
}

/// Lays out a map of `len` tokens. `origin` is the first (query, key) wanted; it is moved where the map would not fill
/// the room otherwise.
pub fn layout(len: usize, room: Room, zoom: Zoom, origin: (usize, usize)) -> MapView {
    let line = room.per_line.max(1);
    let (queries, keys) = match zoom {
        Zoom::Fit => {
            // Whole lines per token where that fits: then every row has its label.
            let height = match fit(len, room.height) {
                Size::Pixels(px) if px > line => Size::Pixels(px / line * line),
                other => other,
            };
            // A column is half as wide as a line is high: cells up to twice as wide as high stay pleasant.
            let widest = match height {
                Size::Pixels(px) => (px * 4 / line).max(2),
                _ => 1,
            };
            let width = match fit(len, room.width) {
                Size::Pixels(px) => Size::Pixels(px.min(widest)),
                other => other,
            };
            (height, width)
        }
        Zoom::Level(level) if level >= 0 => {
            let px = 1usize << level.min(5);
            (Size::Pixels((px * line / 2).max(1)), Size::Pixels(px))
        }
        Zoom::Level(level) => {
            let tokens = 1usize << level.unsigned_abs().min(10);
            (Size::Tokens(tokens), Size::Tokens(tokens))
        }
    };
    MapView {
        queries: axis(len, room.height, queries, origin.0),
        keys: axis(len, room.width, keys, origin.1),
    }
}

fn fit(len: usize, room: usize) -> Size {
    if len == 0 || room == 0 {
        Size::Pixels(1)
    } else if len <= room {
        Size::Pixels(room / len)
    } else {
        Size::Whole
    }
}

fn axis(len: usize, room: usize, size: Size, origin: usize) -> Axis {
    match size {
        Size::Pixels(pixels) => {
            let start = origin.min(len.saturating_sub((room / pixels).max(1)));
            let span = (len - start).min(room.div_ceil(pixels));
            Axis { len, start, span, pixels, size: (span * pixels).min(room) }
        }
        Size::Tokens(tokens) => {
            let start = origin.min(len.saturating_sub(room * tokens));
            let span = (len - start).min(room * tokens);
            Axis { len, start, span, pixels: 0, size: span.div_ceil(tokens) }
        }
        Size::Whole => Axis { len, start: 0, span: len, pixels: 0, size: room.min(len) },
    }
}

/// How many keys and queries share a cell at most, where any do.
pub fn pooled(view: &MapView) -> Option<(usize, usize)> {
    let share = |axis: &Axis| if axis.pooled() { axis.span.div_ceil(axis.size.max(1)) } else { 1 };
    let (keys, queries) = (share(&view.keys), share(&view.queries));
    (keys * queries > 1).then_some((keys, queries))
}

/// The origin nearest to `origin` that has `cursor` in view.
pub fn follow(view: &Axis, origin: usize, cursor: usize) -> usize {
    let visible = view.visible().max(1);
    if cursor < origin {
        cursor
    } else if cursor >= origin + visible {
        cursor + 1 - visible
    } else {
        origin
    }
}

/// Zooming in or out from what is shown now.
pub fn step(view: &MapView, zoom: Zoom, inwards: bool) -> Zoom {
    let now = match zoom {
        Zoom::Level(level) => level,
        Zoom::Fit if view.keys.pooled() => {
            let tokens = view.keys.span.div_ceil(view.keys.size.max(1));
            -(tokens.next_power_of_two().trailing_zeros() as i8)
        }
        Zoom::Fit => view.keys.pixels.ilog2() as i8,
    };
    Zoom::Level((if inwards { now + 1 } else { now - 1 }).clamp(-10, 5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_short_text_gets_whole_lines_and_square_cells() {
        let v = layout(26, Room { width: 63, height: 64, per_line: 2 }, Zoom::Fit, (0, 0));
        assert_eq!((v.queries.pixels, v.keys.pixels), (2, 2));
        assert_eq!((v.queries.size, v.keys.size), (52, 52));
        let v = layout(5, Room { width: 100, height: 20, per_line: 2 }, Zoom::Fit, (0, 0));
        assert_eq!((v.queries.pixels, v.keys.pixels), (4, 8));
    }

    #[test]
    fn a_long_text_is_pooled() {
        let v = layout(1024, Room { width: 60, height: 40, per_line: 2 }, Zoom::Fit, (0, 0));
        assert_eq!((v.queries.size, v.keys.size), (40, 60));
        assert_eq!(v.keys.at(0), 0..17);
        assert_eq!(v.keys.at(v.keys.size - 1).end, 1024);
    }

    proptest! {
        #[test]
        fn pixels_and_tokens_agree(
            len in 0usize..300, width in 0usize..120, height in 0usize..80, per_line in 1usize..=2,
            level in -6i8..=6, origin in (0usize..400, 0usize..400), token in 0usize..300,
        ) {
            let zoom = if level == 6 { Zoom::Fit } else { Zoom::Level(level) };
            let v = layout(len, Room { width, height, per_line }, zoom, origin);
            for (axis, room) in [(v.keys, width), (v.queries, height)] {
                prop_assert!(axis.size <= room);
                if let Some(px) = axis.of(token) {
                    for p in px {
                        prop_assert!(axis.at(p).contains(&token));
                    }
                }
                prop_assert!(room == 0 || len == 0 || axis.size > 0);
                for p in 0..axis.size {
                    prop_assert!(axis.at(p).end <= len);
                    prop_assert!(!axis.at(p).is_empty());
                }
                if zoom == Zoom::Fit && len > 0 && room > 0 {
                    prop_assert_eq!(axis.at(0).start, 0);
                    prop_assert_eq!(axis.at(axis.size - 1).end, len);
                }
            }
        }
    }
}
