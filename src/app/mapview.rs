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

/// One axis: tokens to pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Tokens in all.
    pub len: usize,
    /// First token shown.
    pub start: usize,
    /// Pixels that a token takes, when `tokens` is 1.
    pub pixels: usize,
    /// Tokens that share a pixel.
    pub tokens: usize,
    /// Pixels on screen that hold tokens.
    pub size: usize,
}

impl Axis {
    /// The tokens under a pixel; empty past the end.
    pub fn at(&self, pixel: usize) -> Range<usize> {
        if pixel >= self.size {
            return self.len..self.len;
        }
        let first = self.start + pixel / self.pixels * self.tokens;
        first.min(self.len)..(first + self.tokens).min(self.len)
    }

    /// The pixels of a token, if it is in view.
    pub fn of(&self, token: usize) -> Option<Range<usize>> {
        let group = token.checked_sub(self.start)? / self.tokens;
        let from = group * self.pixels;
        (from < self.size).then(|| from..(from + self.pixels).min(self.size))
    }

    /// How many tokens are in view.
    pub fn visible(&self) -> usize {
        (self.size.div_ceil(self.pixels) * self.tokens).min(self.len.saturating_sub(self.start))
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

/// Lays out a map of `len` tokens. `origin` is the first (query, key) wanted; it is moved where the map would not fill
/// the room otherwise.
pub fn layout(len: usize, room: Room, zoom: Zoom, origin: (usize, usize)) -> MapView {
    let line = room.per_line.max(1);
    let (queries, keys) = match zoom {
        Zoom::Fit => {
            // Whole lines per token where that fits: then every row has its label.
            let height = fit(len, room.height);
            let height = if height.0 > line { (height.0 / line * line, 1) } else { height };
            let mut width = fit(len, room.width);
            // A column is half as wide as a line is high: cells up to twice as wide as high stay pleasant.
            let widest = (height.0 * 2 / line * 2).max(2);
            width.0 = width.0.min(if height.1 > 1 { 1 } else { widest });
            (height, width)
        }
        Zoom::Level(level) if level >= 0 => {
            let px = 1usize << level.min(5);
            ((px * line / 2, 1), (px, 1))
        }
        Zoom::Level(level) => {
            let tokens = 1usize << level.unsigned_abs().min(10);
            ((1, tokens), (1, tokens))
        }
    };
    MapView { queries: axis(len, room.height, queries, origin.0), keys: axis(len, room.width, keys, origin.1) }
}

/// Pixels per token and tokens per pixel that show `len` tokens in `room` pixels.
fn fit(len: usize, room: usize) -> (usize, usize) {
    if len == 0 || room == 0 {
        (1, 1)
    } else if len <= room {
        (room / len, 1)
    } else {
        (1, len.div_ceil(room))
    }
}

fn axis(len: usize, room: usize, (pixels, tokens): (usize, usize), origin: usize) -> Axis {
    let (pixels, tokens) = (pixels.max(1), tokens.max(1));
    let capacity = (room / pixels * tokens).max(1);
    let start = origin.min(len.saturating_sub(capacity));
    let size = ((len - start).div_ceil(tokens) * pixels).min(room);
    Axis { len, start, pixels, tokens, size }
}

/// The origin nearest to `origin` that has `cursor` in view.
pub fn follow(view: &Axis, origin: usize, cursor: usize) -> usize {
    let visible = (view.size / view.pixels * view.tokens).max(1);
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
        Zoom::Fit if view.keys.tokens > 1 => -(view.keys.tokens.next_power_of_two().trailing_zeros() as i8),
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
        assert_eq!((v.queries.tokens, v.keys.tokens), (26, 18));
        assert_eq!(v.keys.at(0), 0..18);
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
                if let Some(px) = axis.of(token) && token < len {
                    for p in px {
                        prop_assert!(axis.at(p).contains(&token));
                    }
                }
                for p in 0..axis.size {
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
