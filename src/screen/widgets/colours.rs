//! Perceptual colour tables of 256 steps and their form for terminals with fewer colours. Pure.
//! Values are quantised to a table, so that equal-looking cells are equal and a frame stays small.

use std::sync::LazyLock;

use ratatui::style::Color;

use crate::screen::options::Depth;

/// Red, green, blue.
pub type Rgb = (u8, u8, u8);

/// 256 colours from the lowest to the highest value.
pub type Ramp = [Rgb; 256];

/// The tables of one background.
pub struct Ramps {
    /// Magma: black to white over purple and orange; readable with any colour vision. Reversed on light.
    pub heat: Ramp,
    /// Blue over the background to orange: the pair that all common colour-vision deficiencies keep apart.
    pub difference: Ramp,
    /// Background tints for surprisal, quiet enough to read text on.
    pub tint: Ramp,
    /// Tints of the τ × p plane.
    pub plane: Ramp,
}

static DARK: LazyLock<Ramps> = LazyLock::new(|| {
    let background = (15, 17, 23);
    Ramps {
        // The very bottom of magma is black on a background that is not: start where it begins to glow.
        heat: table(|x| gradient(&colorous::MAGMA, 0.04 + 0.94 * x)),
        difference: anchors(&[(122, 196, 255), (38, 104, 172), (24, 27, 38), (172, 84, 24), (255, 190, 92)]),
        tint: anchors(&[(28, 32, 44), (38, 52, 84), (62, 62, 124), (110, 62, 132), (152, 58, 108)]),
        plane: table(|x| mix(background, gradient(&colorous::VIRIDIS, 0.15 + 0.75 * x), 0.42)),
    }
});

static LIGHT: LazyLock<Ramps> = LazyLock::new(|| {
    let background = (251, 250, 247);
    Ramps {
        heat: table(|x| gradient(&colorous::MAGMA, 0.99 - 0.92 * x)),
        difference: anchors(&[
            (24, 84, 160),
            (128, 178, 226),
            (244, 243, 240),
            (240, 176, 104),
            (166, 72, 8),
        ]),
        tint: anchors(&[(238, 238, 240), (222, 228, 244), (214, 208, 242), (236, 198, 230), (250, 186, 200)]),
        plane: table(|x| mix(background, gradient(&colorous::VIRIDIS, 0.15 + 0.75 * x), 0.38)),
    }
});

/// The tables for a dark or a light screen.
pub fn ramps(dark: bool) -> &'static Ramps {
    if dark { &DARK } else { &LIGHT }
}

fn table(f: impl Fn(f64) -> Rgb) -> Ramp {
    std::array::from_fn(|i| f(i as f64 / 255.0))
}

fn gradient(g: &colorous::Gradient, x: f64) -> Rgb {
    let c = g.eval_continuous(x.clamp(0.0, 1.0));
    (c.r, c.g, c.b)
}

fn anchors(points: &[Rgb]) -> Ramp {
    table(|x| {
        let at = x * (points.len() - 1) as f64;
        let i = (at as usize).min(points.len() - 2);
        mix(points[i], points[i + 1], at - i as f64)
    })
}

/// `a` at 0, `b` at 1.
pub fn mix(a: Rgb, b: Rgb, x: f64) -> Rgb {
    let m = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * x.clamp(0.0, 1.0)).round() as u8;
    (m(a.0, b.0), m(a.1, b.1), m(a.2, b.2))
}

/// The table entry of a value in 0..1; anything else is brought there.
pub fn step(x: f64) -> usize {
    if x.is_finite() { (x.clamp(0.0, 1.0) * 255.0).round() as usize } else { 0 }
}

/// A colour in the form the terminal takes; `Reset` where it takes none that fine.
pub fn terminal(depth: Depth, rgb: Rgb) -> Color {
    match depth {
        Depth::True => Color::Rgb(rgb.0, rgb.1, rgb.2),
        Depth::Indexed => Color::Indexed(indexed(rgb)),
        Depth::Ansi | Depth::None => Color::Reset,
    }
}

/// Nearest of xterm's 216 cube colours and 24 greys.
fn indexed((r, g, b): Rgb) -> u8 {
    const LEVELS: [i32; 6] = [0, 95, 135, 175, 215, 255];
    let nearest = |v: u8| {
        let distance = |i: &usize| (LEVELS[*i] - i32::from(v)).abs();
        (0..6).min_by_key(distance).unwrap_or(0)
    };
    let (ri, gi, bi) = (nearest(r), nearest(g), nearest(b));
    let square = |x: i32, v: u8| (x - i32::from(v)).pow(2);
    let cube = square(LEVELS[ri], r) + square(LEVELS[gi], g) + square(LEVELS[bi], b);
    let mean = (i32::from(r) + i32::from(g) + i32::from(b)) / 3;
    let grey = ((mean - 3) / 10).clamp(0, 23);
    let level = 8 + 10 * grey;
    let grey_distance = square(level, r) + square(level, g) + square(level, b);
    if grey_distance < cube { 232 + grey as u8 } else { (16 + 36 * ri + 6 * gi + bi) as u8 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance, 0..1 (WCAG).
    pub fn luminance((r, g, b): Rgb) -> f64 {
        let linear = |v: u8| {
            let x = f64::from(v) / 255.0;
            if x <= 0.04045 { x / 12.92 } else { ((x + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
    }

    #[test]
    fn heat_grows_steadily_away_from_the_background() {
        for (ramp, sign) in [(&ramps(true).heat, 1.0), (&ramps(false).heat, -1.0)] {
            for pair in ramp.windows(2) {
                assert!((luminance(pair[1]) - luminance(pair[0])) * sign > -0.002);
            }
            assert!((luminance(ramp[255]) - luminance(ramp[0])).abs() > 0.6);
        }
    }

    #[test]
    fn difference_is_symmetric_in_strength() {
        for dark in [true, false] {
            let r = &ramps(dark).difference;
            let middle = luminance(r[128]);
            for i in (0..128).step_by(16) {
                let (low, high) = (luminance(r[i]) - middle, luminance(r[255 - i]) - middle);
                assert!(low.signum() == high.signum(), "{i}: {low} {high}");
            }
        }
    }

    #[test]
    fn indexed_colours_are_near() {
        assert_eq!(indexed((0, 0, 0)), 16);
        assert_eq!(indexed((255, 255, 255)), 231);
        assert_eq!(indexed((255, 0, 0)), 196);
        assert_eq!(indexed((128, 128, 128)), 244);
        assert_eq!(terminal(Depth::Ansi, (1, 2, 3)), Color::Reset);
    }
}
