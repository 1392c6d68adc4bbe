//! What the next tiles read, asked for in time: a few cache lines per turn of a tile's loop. Asked for in one burst before a
//! tile, they would stand in the way of the tile's own loads.

use super::right::Strided;

/// Bytes of a cache line.
const LINE: usize = 64;
/// Steps of the inner dimension per turn of a tile's loop.
pub(super) const TURN: usize = 4;
/// Lines that a tile may ask for per turn.
const CHOICES: [usize; 4] = [2, 4, 6, 12];
/// Lines of a stretch of a strided matrix: a row of a panel of 48 numbers, wherever it starts.
const STRETCH: usize = 4;

/// What all tiles of a panel ask for together: `passes` times `turns` stretches of `lines` lines. Stretches lie `turn` bytes
/// apart, passes `pass` bytes.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    start: *const i8,
    lines: usize,
    turn: usize,
    turns: usize,
    pass: usize,
    passes: usize,
    /// Passes and turns that are done.
    done: (usize, usize),
}

/// What one tile asks for: `lines` lines at `at`, and `turn` bytes further every turn.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub at: *const i8,
    pub turn: usize,
    pub lines: usize,
}

impl Ahead {
    /// `count` numbers that lie at `next`, one after another, asked for by `tiles` tiles of `depth` steps.
    #[inline(always)]
    pub fn sequential<T>(next: *const T, count: usize, tiles: usize, depth: usize) -> Self {
        let all = (count * size_of::<T>()).div_ceil(LINE);
        let needed = all.div_ceil((tiles * (depth / TURN)).max(1));
        let lines = CHOICES.into_iter().find(|&l| l >= needed).unwrap_or(CHOICES[CHOICES.len() - 1]);
        Ahead {
            start: next.cast(),
            lines,
            turn: lines * LINE,
            turns: all.div_ceil(lines),
            pass: 0,
            passes: 1,
            done: (0, 0),
        }
    }

    /// `depth` rows of `cols` columns of `b`, from row `from` and column `first` on: a walk that the processor does not
    /// foresee.
    #[inline(always)]
    pub fn strided(b: Strided, (from, depth): (usize, usize), (first, cols): (usize, usize)) -> Self {
        let (base, size) = b.data.bytes();
        let start = base.wrapping_add((from * b.row + first * b.col) * size);
        let (stride, stretches, bytes) = match b.col {
            1 => (b.row * size, depth, cols * size),
            col => (col * size, cols, depth * size),
        };
        let pass = STRETCH * LINE;
        let passes = bytes.div_ceil(pass);
        Ahead { start, lines: STRETCH, turn: stride, turns: stretches, pass, passes, done: (0, 0) }
    }

    /// The share of the next tile, of `depth` steps; once all was asked for, lines at `near`, which are near already.
    #[inline(always)]
    pub fn next(&mut self, depth: usize, near: *const f32) -> Asked {
        let (pass, turn) = self.done;
        if pass == self.passes {
            return Asked { at: near.cast(), turn: 0, lines: CHOICES[0] };
        }
        let at = self.start.wrapping_add(pass * self.pass + turn * self.turn);
        let turn = turn + depth / TURN;
        self.done = if turn >= self.turns { (pass + 1, 0) } else { (pass, turn) };
        Asked { at, turn: self.turn, lines: self.lines }
    }
}

impl Asked {
    /// Asks for everything at once, where the loop of a tile of `depth` steps does not.
    #[inline(always)]
    pub fn all(self, depth: usize) {
        if self.turn == 0 {
            return;
        }
        for turn in 0..depth / TURN {
            let at = self.at.wrapping_add(turn * self.turn);
            (0..self.lines).for_each(|line| prefetch(at.wrapping_add(line * LINE)));
        }
    }
}

/// Asks for a cache line; any address will do.
#[inline(always)]
pub(super) fn prefetch(at: *const i8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint that never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(at);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Asks for the `n` numbers at `at`, which are about to be read and written.
#[inline(always)]
pub(super) fn soon(at: *const f32, n: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint that never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let mut line = 0;
        while line < n {
            _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(line).cast());
            line += LINE / size_of::<f32>();
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (at, n);
}
