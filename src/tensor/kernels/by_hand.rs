//! The tiles of AVX2 and AVX-512, written by hand: all registers are in use, and the compiler, which moves loads ahead and
//! gives arrays an address, would keep sums in memory.
//!
//! A step multiplies one number of every row with one row of the panel. A turn of the loop is four steps, with the lines
//! that the next tiles need asked for in between; what is left of the depth goes step by step.

use std::arch::x86_64::{__m256, __m512, _mm256_setzero_ps, _mm512_setzero_ps};

use super::ahead::Asked;
use super::tile::{Panel, Place, Reading};

/// Adds the product of `{x}` and a register of the panel to a sum: of numbers, or of pairs of bf16 numbers.
macro_rules! multiply_add {
    ($s:literal, $b:literal) => {
        concat!(
            ".if {pairs}\nvdpbf16ps {",
            $s,
            "}, {x}, {",
            $b,
            "}\n.else\nvfmadd231ps {",
            $s,
            "}, {x}, {",
            $b,
            "}\n.endif\n",
        )
    };
}

/// One row of a step: its number, in all lanes, times the registers of the panel. `$apart` is its address where rows lie
/// apart, `$d` bytes into the turn; `$beside` where they lie side by side.
macro_rules! row {
    ($apart:literal, $beside:literal, $d:literal, $s0:literal $s1:literal $s2:literal) => {
        concat!(
            ".if {apart}\n",
            "vbroadcastss {x}, dword ptr [",
            $apart,
            " + ",
            $d,
            "]\n.else\n",
            "vbroadcastss {x}, dword ptr [{a0} + ",
            $beside,
            "]\n.endif\n",
            multiply_add!($s0, "b0"),
            ".if {c} > 1\n",
            multiply_add!($s1, "b1"),
            ".endif\n.if {c} > 2\n",
            multiply_add!($s2, "b2"),
            ".endif\n",
        )
    };
}

/// The panel's row of a step into registers, and to its packed place where this tile is the first that reads it.
macro_rules! panel_row {
    () => {
        concat!(
            "vmovups {b0}, [{b}]\n",
            ".if {c} > 1\nvmovups {b1}, [{b} + {n}]\n.endif\n",
            ".if {c} > 2\nvmovups {b2}, [{b} + 2*{n}]\n.endif\n",
            "add {b}, {b_row}\n",
            ".if {keeps}\nvmovups [{keep}], {b0}\n",
            ".if {c} > 1\nvmovups [{keep} + {n}], {b1}\n.endif\n",
            ".if {c} > 2\nvmovups [{keep} + 2*{n}], {b2}\n.endif\n",
            "add {keep}, 3*{n}\n.endif\n",
        )
    };
}

/// On to the next step, where that is not a matter of `$d`.
macro_rules! next_step {
    () => {
        ".if {apart} == 0\nadd {a0}, {stride}\n.endif\n"
    };
}

macro_rules! four_rows {
    ($d:literal) => {
        concat!(
            row!("{a0}", "0", $d, "s00" "s01" "s02"),
            row!("{a0} + {stride}", "4", $d, "s10" "s11" "s12"),
            row!("{a0} + 2*{stride}", "8", $d, "s20" "s21" "s22"),
            row!("{a1}", "12", $d, "s30" "s31" "s32"),
        )
    };
}

macro_rules! eight_rows {
    ($d:literal) => {
        concat!(
            four_rows!($d),
            row!("{a1} + {stride}", "16", $d, "s40" "s41" "s42"),
            row!("{a1} + 2*{stride}", "20", $d, "s50" "s51" "s52"),
            row!("{a2}", "24", $d, "s60" "s61" "s62"),
            row!("{a2} + {stride}", "28", $d, "s70" "s71" "s72"),
        )
    };
}

/// Asks for what the next tile reads of the left side during a turn: two of its rows after each step where rows lie apart
/// (`$a` and `$b`), the step's numbers where they lie side by side. Tiles change rows before the processor sees a pattern.
macro_rules! ask_left {
    ($a:literal $b:literal) => {
        concat!(
            ".if {apart}\nprefetcht0 [",
            $a,
            "]\nprefetcht0 [",
            $b,
            "]\n.else\nprefetcht0 [{a0} + 32]\n.endif\n",
        )
    };
}

/// The lines of the right side for the quarter of a turn after step `$step`.
macro_rules! ask_right {
    ($step:literal) => {
        concat!(
            ".set line, {lines} * ",
            $step,
            " / 4\n.rept {lines} * (",
            $step,
            " + 1) / 4 - {lines} * ",
            $step,
            " / 4\nprefetcht1 [{ask} + 64*line]\n.set line, line + 1\n.endr\n",
        )
    };
}

/// The loops over turns and over the steps that are left, with the addresses of the next tile's rows.
macro_rules! loops {
    ($rows:ident, $n0:literal $n1:literal $n2:literal $n3:literal $n4:literal $n5:literal $n6:literal $n7:literal) => {
        concat!(
            "sub {steps}, 4\njc 3f\n2:\n",
            panel_row!(),
            $rows!("0"),
            ask_left!($n0 $n1),
            next_step!(),
            ask_right!("0"),
            panel_row!(),
            $rows!("4"),
            ask_left!($n2 $n3),
            next_step!(),
            ask_right!("1"),
            panel_row!(),
            $rows!("8"),
            ask_left!($n4 $n5),
            next_step!(),
            ask_right!("2"),
            panel_row!(),
            $rows!("12"),
            ask_left!($n6 $n7),
            next_step!(),
            ask_right!("3"),
            ".if {apart}\nadd {a0}, 16\nadd {a1}, 16\nadd {a2}, 16\nadd {n0}, 16\nadd {n1}, 16\n.endif\n",
            "add {ask}, {turn}\nsub {steps}, 4\njnc 2b\n",
            "3:\nadd {steps}, 4\njz 5f\n4:\n",
            panel_row!(),
            $rows!("0"),
            next_step!(),
            ".if {apart}\nadd {a0}, 4\nadd {a1}, 4\nadd {a2}, 4\n.endif\n",
            "dec {steps}\njnz 4b\n5:\n",
        )
    };
}

/// The variants of a tile: how its left side lies, whether it packs the panel, lines per turn.
macro_rules! variants {
    ($tile:ident, $c:expr, $pairs:expr, $depth:expr, $left:expr, $right:expr, $asked:expr, $place:expr) => {
        match ($left.step == 1, $right.keep.is_null(), $asked.lines) {
            (true, true, 2) => $tile::<$c, 1, 0, 2, $pairs>($depth, $left, $right, $asked, $place),
            (true, true, 4) => $tile::<$c, 1, 0, 4, $pairs>($depth, $left, $right, $asked, $place),
            (true, true, 6) => $tile::<$c, 1, 0, 6, $pairs>($depth, $left, $right, $asked, $place),
            (true, true, _) => $tile::<$c, 1, 0, 12, $pairs>($depth, $left, $right, $asked, $place),
            (false, true, 2) => $tile::<$c, 0, 0, 2, $pairs>($depth, $left, $right, $asked, $place),
            (false, true, 4) => $tile::<$c, 0, 0, 4, $pairs>($depth, $left, $right, $asked, $place),
            (false, true, 6) => $tile::<$c, 0, 0, 6, $pairs>($depth, $left, $right, $asked, $place),
            (false, true, _) => $tile::<$c, 0, 0, 12, $pairs>($depth, $left, $right, $asked, $place),
            (true, false, _) => $tile::<$c, 1, 1, 4, $pairs>($depth, $left, $right, $asked, $place),
            (false, false, _) => $tile::<$c, 0, 1, 4, $pairs>($depth, $left, $right, $asked, $place),
        }
    };
}

/// Eight rows and `C` of three registers, of numbers or (`PAIRS` is 1) of pairs of bf16 numbers.
///
/// # Safety
/// AVX-512F, and AVX512-BF16 for pairs; both sides hold all steps.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn eight_by_three<const C: usize, const PAIRS: usize>(
    depth: usize,
    left: Reading,
    right: Panel,
    asked: Asked,
    place: Place,
) {
    // SAFETY: the contract.
    unsafe { variants!(wide, C, PAIRS, depth, left, right, asked, place) }
}

/// Four rows and `C` of three registers.
///
/// # Safety
/// AVX2 and FMA; both sides hold all steps.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn four_by_three<const C: usize>(
    depth: usize,
    left: Reading,
    right: Panel,
    asked: Asked,
    place: Place,
) {
    // SAFETY: the contract.
    unsafe { variants!(narrow, C, 0, depth, left, right, asked, place) }
}

/// Bytes between the rows of the left side where they lie apart, between its steps where rows lie side by side.
fn stride(left: Reading) -> usize {
    size_of::<f32>() * if left.step == 1 { left.row } else { left.step }
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn wide<
    const C: usize,
    const APART: usize,
    const KEEPS: usize,
    const LINES: usize,
    const PAIRS: usize,
>(
    depth: usize,
    left: Reading,
    right: Panel,
    asked: Asked,
    place: Place,
) {
    let mut s = [[_mm512_setzero_ps(); 3]; 8];
    // SAFETY: reads `depth` steps of both sides; writes registers and, where it keeps the panel, its packed place.
    unsafe {
        std::arch::asm!(
            loops!(
                eight_rows,
                "{n0}" "{n0} + {stride}" "{n0} + 2*{stride}" "{n1}" "{n1} + {stride}" "{n1} + 2*{stride}"
                "{a2} + 8*{stride}" "{n1} + 4*{stride}"
            ),
            c = const C,
            apart = const APART,
            keeps = const KEEPS,
            lines = const LINES,
            pairs = const PAIRS,
            n = const 64,
            a0 = inout(reg) left.at => _,
            a1 = inout(reg) left.at.wrapping_add(3 * left.row) => _,
            a2 = inout(reg) left.at.wrapping_add(6 * left.row) => _,
            n0 = inout(reg) left.at.wrapping_add(8 * left.row) => _,
            n1 = inout(reg) left.at.wrapping_add(11 * left.row) => _,
            stride = in(reg) stride(left),
            b = inout(reg) right.at => _,
            b_row = in(reg) size_of::<f32>() * right.row,
            keep = inout(reg) right.keep => _,
            ask = inout(reg) asked.at => _,
            turn = in(reg) asked.turn,
            steps = inout(reg) depth => _,
            b0 = out(zmm_reg) _,
            b1 = out(zmm_reg) _,
            b2 = out(zmm_reg) _,
            x = out(zmm_reg) _,
            s00 = inout(zmm_reg) s[0][0],
            s01 = inout(zmm_reg) s[0][1],
            s02 = inout(zmm_reg) s[0][2],
            s10 = inout(zmm_reg) s[1][0],
            s11 = inout(zmm_reg) s[1][1],
            s12 = inout(zmm_reg) s[1][2],
            s20 = inout(zmm_reg) s[2][0],
            s21 = inout(zmm_reg) s[2][1],
            s22 = inout(zmm_reg) s[2][2],
            s30 = inout(zmm_reg) s[3][0],
            s31 = inout(zmm_reg) s[3][1],
            s32 = inout(zmm_reg) s[3][2],
            s40 = inout(zmm_reg) s[4][0],
            s41 = inout(zmm_reg) s[4][1],
            s42 = inout(zmm_reg) s[4][2],
            s50 = inout(zmm_reg) s[5][0],
            s51 = inout(zmm_reg) s[5][1],
            s52 = inout(zmm_reg) s[5][2],
            s60 = inout(zmm_reg) s[6][0],
            s61 = inout(zmm_reg) s[6][1],
            s62 = inout(zmm_reg) s[6][2],
            s70 = inout(zmm_reg) s[7][0],
            s71 = inout(zmm_reg) s[7][1],
            s72 = inout(zmm_reg) s[7][2],
            options(nostack),
        );
        place.put::<__m512, 8, 3, C>(&s);
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn narrow<
    const C: usize,
    const APART: usize,
    const KEEPS: usize,
    const LINES: usize,
    const PAIRS: usize,
>(
    depth: usize,
    left: Reading,
    right: Panel,
    asked: Asked,
    place: Place,
) {
    let mut s = [[_mm256_setzero_ps(); 3]; 4];
    // SAFETY: as above.
    unsafe {
        std::arch::asm!(
            loops!(four_rows, "{n0}" "{n0}" "{n0} + {stride}" "{n0} + {stride}" "{n0} + 2*{stride}" "{n0} + 2*{stride}" "{n1}" "{n1}"),
            c = const C,
            apart = const APART,
            keeps = const KEEPS,
            lines = const LINES,
            pairs = const PAIRS,
            n = const 32,
            a0 = inout(reg) left.at => _,
            a1 = inout(reg) left.at.wrapping_add(3 * left.row) => _,
            // The loops move it on for tiles of more rows.
            a2 = inout(reg) left.at => _,
            n0 = inout(reg) left.at.wrapping_add(4 * left.row) => _,
            n1 = inout(reg) left.at.wrapping_add(7 * left.row) => _,
            stride = in(reg) stride(left),
            b = inout(reg) right.at => _,
            b_row = in(reg) size_of::<f32>() * right.row,
            keep = inout(reg) right.keep => _,
            ask = inout(reg) asked.at => _,
            turn = in(reg) asked.turn,
            steps = inout(reg) depth => _,
            b0 = out(ymm_reg) _,
            b1 = out(ymm_reg) _,
            b2 = out(ymm_reg) _,
            x = out(ymm_reg) _,
            s00 = inout(ymm_reg) s[0][0],
            s01 = inout(ymm_reg) s[0][1],
            s02 = inout(ymm_reg) s[0][2],
            s10 = inout(ymm_reg) s[1][0],
            s11 = inout(ymm_reg) s[1][1],
            s12 = inout(ymm_reg) s[1][2],
            s20 = inout(ymm_reg) s[2][0],
            s21 = inout(ymm_reg) s[2][1],
            s22 = inout(ymm_reg) s[2][2],
            s30 = inout(ymm_reg) s[3][0],
            s31 = inout(ymm_reg) s[3][1],
            s32 = inout(ymm_reg) s[3][2],
            options(nostack),
        );
        place.put::<__m256, 4, 3, C>(&s);
    }
}
