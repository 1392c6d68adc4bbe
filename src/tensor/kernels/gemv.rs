//! One row times a matrix: bound by how fast the weights come from memory, so they are read once, in order, without
//! packing. Sums run in a fixed order, whatever the number of threads.

use rayon::prelude::*;

use super::ahead::prefetch;
use super::isa::{Isa, isa, multiplies_pairs};
use super::lanes::{Four, Lanes, Sixteen};
use super::packed::Packed;
use super::product::{BLOCK, Left, Out, Rules, TASKS_AT_ONCE, depth_step};
use super::right::{Numbers, Right, Stored, Strided};

/// Most columns a task sums when rows of the matrix are contiguous; 3 KiB of each row.
const CHUNK: usize = 768;
/// Columns a task handles when each column is contiguous.
const COLUMNS: usize = 256;
/// Bytes ahead of the reader that are asked for.
const AHEAD: usize = 4096;

/// Registers of a panel of [`Four`].
const FOURS: usize = if cfg!(target_arch = "aarch64") { 3 } else { 2 };

/// Computes `out ← scale·(a × b) [+ out]` for one row; `false` when the layout is not one it knows.
///
/// # Safety
/// As [`super::product::product`].
pub(super) unsafe fn product(rules: &Rules, a: Left, b: Right, out: Out) -> bool {
    if a.col != 1 || matches!(b, Right::Strided(b) if b.col != 1 && b.row != 1) {
        return false;
    }
    let x = &a.data[..rules.depth];
    let rounded: Vec<f32>;
    let x = match b {
        // What several rows are multiplied with is rounded; one row must find the same.
        Right::Packed(b) if b.is_bf16() && multiplies_pairs(isa()) => {
            rounded = x.iter().map(|&x| half::bf16::from_f32(x).to_f32()).collect();
            &rounded
        }
        _ => x,
    };
    let size = match b {
        // A column's sum does not depend on its neighbours, so tasks may be cut to the number of threads.
        Right::Strided(b) if b.col == 1 => {
            let even = (rules.cols / (2 * rayon::current_num_threads())).next_multiple_of(64);
            even.clamp(64, CHUNK)
        }
        Right::Strided(_) => COLUMNS,
        Right::Packed(_) => BLOCK,
    };
    let work = |at: usize| {
        let (from, to) = (at * size, ((at + 1) * size).min(rules.cols));
        let mut sums = [0f32; CHUNK];
        let sums = &mut sums[..to - from];
        // SAFETY: the views lie inside their data, as the caller promised; the instructions were found.
        unsafe {
            match isa() {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => avx512(x, b, from, sums),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => avx2(x, b, from, sums),
                Isa::Wide => chunk::<Sixteen, 3>(x, b, from, sums),
                _ => chunk::<Four, FOURS>(x, b, from, sums),
            }
        }
        sums.iter_mut().for_each(|s| *s *= rules.scale);
        if out.is_nowhere() {
            if let Some(finish) = rules.finish {
                finish(0, from, sums);
            }
            return;
        }
        // SAFETY: these columns are this task's alone.
        let target = unsafe { std::slice::from_raw_parts_mut(out.at(0, from), sums.len()) };
        for (t, s) in target.iter_mut().zip(sums.iter()) {
            *t = if rules.add { *t + s } else { *s };
        }
        if let Some(finish) = rules.finish {
            finish(0, from, target);
        }
    };
    let tasks = rules.cols.div_ceil(size);
    if rules.parallel {
        (0..tasks).into_par_iter().with_max_len(TASKS_AT_ONCE).for_each(work);
    } else {
        (0..tasks).for_each(work);
    }
    true
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(x: &[f32], b: Right, from: usize, sums: &mut [f32]) {
    // SAFETY: passed on.
    unsafe { chunk::<std::arch::x86_64::__m256, 3>(x, b, from, sums) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
unsafe fn avx512(x: &[f32], b: Right, from: usize, sums: &mut [f32]) {
    // SAFETY: passed on.
    unsafe { chunk::<std::arch::x86_64::__m512, 3>(x, b, from, sums) }
}

#[inline(always)]
unsafe fn chunk<V: Lanes, const C: usize>(x: &[f32], b: Right, from: usize, sums: &mut [f32]) {
    // SAFETY: passed on.
    unsafe {
        let b: Strided = match b {
            Right::Strided(b) => b,
            Right::Packed(b) => {
                return match b.numbers() {
                    Numbers::F32(w) => panels::<V, f32, C>(x, b, &w[b.block(from)..], sums),
                    Numbers::Bf16(w) => panels::<V, u16, C>(x, b, &w[b.block(from)..], sums),
                };
            }
        };
        match (b.data, b.col == 1) {
            (Numbers::F32(w), true) => rows::<V, f32>(x, &w[from..], b.row, sums),
            (Numbers::Bf16(w), true) => rows::<V, u16>(x, &w[from..], b.row, sums),
            (Numbers::F32(w), false) => columns::<V, f32>(x, &w[from * b.col..], b.col, sums),
            (Numbers::Bf16(w), false) => columns::<V, u16>(x, &w[from * b.col..], b.col, sums),
        }
    }
}

/// `sums[c] += Σ_i x[i] · w[i·stride + c]`, four rows at a time.
#[inline(always)]
unsafe fn rows<V: Lanes, W: Stored>(x: &[f32], w: &[W], stride: usize, sums: &mut [f32]) {
    const TOGETHER: usize = 4;
    let lines = sums.len() * size_of::<W>();
    let lines = lines.div_ceil(64);
    let whole = sums.len() / V::N * V::N;
    for (block, x) in x.chunks(TOGETHER).enumerate() {
        let first = block * TOGETHER;
        let ahead = w.as_ptr().wrapping_add((first + 2 * TOGETHER) * stride).cast::<i8>();
        for r in 0..TOGETHER {
            let row = ahead.wrapping_add(r * stride * size_of::<W>());
            (0..lines).for_each(|l| prefetch(row.wrapping_add(64 * l)));
        }
        // SAFETY: `first + x.len()` rows of `sums.len()` columns lie inside `w`.
        unsafe {
            if let [x0, x1, x2, x3] = *x {
                let p: [*const W; 4] = std::array::from_fn(|r| w.as_ptr().add((first + r) * stride));
                let (s0, s1, s2, s3) = (V::splat(x0), V::splat(x1), V::splat(x2), V::splat(x3));
                for c in (0..whole).step_by(V::N) {
                    let at = sums.as_mut_ptr().add(c);
                    let sum = V::load(at).fma(s0, W::load(p[0].add(c))).fma(s1, W::load(p[1].add(c)));
                    sum.fma(s2, W::load(p[2].add(c))).fma(s3, W::load(p[3].add(c))).store(at);
                }
            } else {
                for (r, &xr) in x.iter().enumerate() {
                    for (c, sum) in sums[..whole].iter_mut().enumerate() {
                        *sum += xr * w[(first + r) * stride + c].wide();
                    }
                }
            }
        }
        for (c, sum) in sums.iter_mut().enumerate().skip(whole) {
            for (r, &xr) in x.iter().enumerate() {
                *sum += xr * w[(first + r) * stride + c].wide();
            }
        }
    }
}

/// `sums[c] = Σ_i x[i] · w[c·stride + i]`, two columns at a time.
#[inline(always)]
unsafe fn columns<V: Lanes, W: Stored>(x: &[f32], w: &[W], stride: usize, sums: &mut [f32]) {
    const LANES: usize = 4;
    let whole = x.len() / (LANES * V::N) * LANES * V::N;
    for (c, sum) in sums.iter_mut().enumerate() {
        let column = &w[c * stride..c * stride + x.len()];
        // SAFETY: the column has as many numbers as `x`.
        unsafe {
            let mut acc = [V::zero(); LANES];
            for i in (0..whole).step_by(LANES * V::N) {
                prefetch(column.as_ptr().wrapping_add(i).cast::<i8>().wrapping_add(AHEAD));
                prefetch(column.as_ptr().wrapping_add(i).cast::<i8>().wrapping_add(AHEAD + 64));
                for (l, acc) in acc.iter_mut().enumerate() {
                    let at = i + l * V::N;
                    *acc = acc.fma(V::load(x.as_ptr().add(at)), W::load(column.as_ptr().add(at)));
                }
            }
            let mut wide = [0f32; 16];
            acc[0].add(acc[1]).add(acc[2].add(acc[3])).store(wide.as_mut_ptr());
            let mut total = wide[..V::N].iter().sum::<f32>();
            for i in whole..x.len() {
                total += x[i] * column[i].wide();
            }
            *sum = total;
        }
    }
}

/// `sums[c] = Σ_i x[i] · w[i, c]` over the panels of one packed block: its first and its second half of depth blocks
/// at once, since a processor brings two streams from memory faster than one.
#[inline(always)]
unsafe fn panels<V: Lanes, W: Stored, const C: usize>(x: &[f32], b: &Packed, w: &[W], sums: &mut [f32]) {
    let width = V::N * C;
    let padded = sums.len().next_multiple_of(width);
    assert!(b.width() == width && w.len() >= x.len() * padded, "a packed block does not fit");
    let mut totals = [[0f32; BLOCK]; 2];
    let step = depth_step(x.len());
    let middle = (x.len().div_ceil(step) / 2 * step).min(x.len());
    let (first, second) = x.split_at(middle);
    let [low, high] = &mut totals;
    let mut begun = 0;
    for (x, y) in first.chunks(step).zip(second.chunks(step)) {
        // SAFETY: both depth blocks have `padded` columns of as many rows as they are long.
        unsafe {
            let (at_x, at_y) = (w.as_ptr().add(begun * padded), w.as_ptr().add((middle + begun) * padded));
            if x.len() == y.len() {
                both_streams::<V, W, C>([(x, at_x), (y, at_y)], padded, [&mut *low, &mut *high]);
            } else {
                one_stream::<V, W, C>((x, at_x), padded, low);
                one_stream::<V, W, C>((y, at_y), padded, high);
            }
        }
        begun += step;
    }
    // An odd number of depth blocks leaves one.
    if let Some(y) = second.chunks(step).nth(begun / step) {
        // SAFETY: as above.
        unsafe {
            let at = w.as_ptr().add((middle + begun) * padded);
            one_stream::<V, W, C>((y, at), padded, high);
        }
    }
    for ((sum, low), high) in sums.iter_mut().zip(low).zip(high) {
        *sum = *low + *high;
    }
}

/// Two depth blocks of one length. A line of two rows needs registers for both, so that fewer are left for sums apart.
#[inline(always)]
unsafe fn both_streams<V: Lanes, W: Stored, const C: usize>(
    blocks: [(&[f32], *const W); 2],
    padded: usize,
    sums: [&mut [f32; BLOCK]; 2],
) {
    // SAFETY: passed on.
    unsafe {
        if W::ROWS == 1 {
            depth_blocks::<V, W, C, 2, 2>(blocks, padded, sums);
        } else {
            depth_blocks::<V, W, C, 2, 1>(blocks, padded, sums);
        }
    }
}

/// As [`both_streams`] for one depth block.
#[inline(always)]
unsafe fn one_stream<V: Lanes, W: Stored, const C: usize>(
    block: (&[f32], *const W),
    padded: usize,
    sums: &mut [f32; BLOCK],
) {
    // SAFETY: passed on.
    unsafe {
        if W::ROWS == 1 {
            depth_blocks::<V, W, C, 1, 4>([block], padded, [sums]);
        } else {
            depth_blocks::<V, W, C, 1, 2>([block], padded, [sums]);
        }
    }
}

/// Adds the products of `STREAMS` depth blocks of one length to their sums, panel by panel; `APART` rows of each are
/// summed apart, so that they need not wait for each other.
#[inline(always)]
unsafe fn depth_blocks<V: Lanes, W: Stored, const C: usize, const STREAMS: usize, const APART: usize>(
    blocks: [(&[f32], *const W); STREAMS],
    padded: usize,
    mut sums: [&mut [f32; BLOCK]; STREAMS],
) {
    let width = V::N * C;
    let depth = blocks[0].0.len();
    let (lines, line) = (depth / W::ROWS, W::ROWS * width);
    let mut at = blocks.map(|(_, w)| w);
    for first in (0..padded).step_by(width) {
        // SAFETY: each panel has lines enough for `depth` rows of `width` columns.
        unsafe {
            let mut acc = [[[V::zero(); C]; STREAMS]; APART];
            let whole = lines / APART * APART;
            for i in (0..whole).step_by(APART) {
                for (apart, acc) in acc.iter_mut().enumerate() {
                    for ((acc, (x, _)), at) in acc.iter_mut().zip(&blocks).zip(&mut at) {
                        soon_after::<W, C>(*at, V::N);
                        W::add_line(acc, x.as_ptr().add((i + apart) * W::ROWS), *at);
                        *at = at.add(line);
                    }
                }
            }
            for i in whole..lines {
                for ((acc, (x, _)), at) in acc[0].iter_mut().zip(&blocks).zip(&mut at) {
                    W::add_line(acc, x.as_ptr().add(i * W::ROWS), *at);
                    *at = at.add(line);
                }
            }
            if lines * W::ROWS < depth {
                // The last row has no other beside it.
                for ((acc, (x, _)), at) in acc[0].iter_mut().zip(&blocks).zip(&mut at) {
                    W::add_line(acc, [x[depth - 1], 0.0].as_ptr(), *at);
                    *at = at.add(line);
                }
            }
            for (stream, sums) in sums.iter_mut().enumerate() {
                let (one, others) = acc.split_at(1);
                for (c, one) in one[0][stream].iter().enumerate() {
                    let to = sums.as_mut_ptr().add(first + c * V::N);
                    let sum = others.iter().fold(*one, |sum, other| sum.add(other[stream][c]));
                    sum.add(V::load(to)).store(to);
                }
            }
        }
    }
}

/// Asks for the line of a packed stream that comes [`AHEAD`] bytes after `at`: the processor does not look past a page.
#[inline(always)]
fn soon_after<W: Stored, const C: usize>(at: *const W, lanes: usize) {
    let at = at.cast::<i8>().wrapping_add(AHEAD);
    let mut line = 0;
    while line < W::ROWS * C * lanes * size_of::<W>() {
        prefetch(at.wrapping_add(line));
        line += 64;
    }
}
