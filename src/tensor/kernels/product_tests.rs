use super::*;
use crate::tensor::kernels::isa::{Isa, has_pairs};
use crate::tensor::kernels::packed::Packed;

/// Numbers that no symmetry repeats.
fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let step =
        |i: u64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40;
    (0..n as u64).map(|i| step(i) as f32 / (1u32 << 23) as f32 - 1.0).collect()
}

/// Both sides of a product, row-major, each as it is and as a transpose.
struct Sides {
    rows: usize,
    depth: usize,
    cols: usize,
    a: [Vec<f32>; 2],
    b: [Vec<f32>; 2],
    short: Vec<u16>,
}

fn transposed(x: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    (0..cols).flat_map(|c| (0..rows).map(move |r| x[r * cols + c])).collect()
}

impl Sides {
    fn new((rows, depth, cols): (usize, usize, usize)) -> Self {
        let (a, b) = (numbers(rows * depth, 3), numbers(depth * cols, 4));
        let short = b.iter().map(|&x| half::bf16::from_f32(x).to_bits()).collect();
        let (at, bt) = (transposed(&a, rows, depth), transposed(&b, depth, cols));
        Sides { rows, depth, cols, a: [a, at], b: [b, bt], short }
    }

    fn left(&self, turned: bool) -> Left<'_> {
        match turned {
            false => Left { data: &self.a[0], row: self.depth, col: 1 },
            true => Left { data: &self.a[1], row: 1, col: self.rows },
        }
    }

    /// Sums in f64, with the right side in f32 or in bf16.
    fn exact(&self, short: bool) -> Vec<f64> {
        let b: Vec<f64> = match short {
            false => self.b[0].iter().map(|&x| f64::from(x)).collect(),
            true => self.short.iter().map(|&x| f64::from(half::bf16::from_bits(x).to_f32())).collect(),
        };
        let mut out = vec![0f64; self.rows * self.cols];
        for (out, a) in out.chunks_mut(self.cols).zip(self.a[0].chunks(self.depth)) {
            for (&a, b) in a.iter().zip(b.chunks(self.cols)) {
                out.iter_mut().zip(b).for_each(|(out, b)| *out += f64::from(a) * b);
            }
        }
        out
    }

    /// The product by one kernel, rows four numbers longer than they need to be and around them NaN.
    fn product<K: Kernel>(&self, left: Left, right: Right, rules: Rules) -> Vec<f32> {
        let row = self.cols + 4;
        let mut out = vec![f32::NAN; self.rows * row + 4];
        for r in 0..self.rows {
            out[4 + r * row..][..self.cols].fill(0.5);
        }
        // SAFETY: the output has room for all rows; the kernel is one for this processor.
        unsafe { run::<K>(&rules, left, right, Out { data: out.as_mut_ptr().add(4), row }) };
        let inside = |i: usize| i >= 4 && (i - 4) % row < self.cols;
        assert!((0..out.len()).all(|i| inside(i) != out[i].is_nan()), "written beside the output");
        (0..out.len()).filter(|&i| inside(i)).map(|i| out[i]).collect()
    }

    fn rules(&self, add: bool) -> Rules<'static> {
        let (rows, depth, cols) = (self.rows, self.depth, self.cols);
        Rules { rows, depth, cols, scale: 1.0, add, finish: None, parallel: false }
    }

    /// All ways in which both sides may lie.
    fn every_way(&self, mut check: impl FnMut(Left, Right, bool)) {
        let turned = Numbers::F32(&self.b[1]).transposed(self.depth);
        let plain = Numbers::F32(&self.b[0]).rows(self.cols);
        let short = Numbers::Bf16(&self.short).rows(self.cols);
        for left in [self.left(false), self.left(true)] {
            check(left, plain.into(), false);
            check(left, turned.into(), false);
            check(left, short.into(), true);
        }
    }
}

/// Sizes around every edge of tiles, panels and depth blocks.
fn sizes() -> Vec<(usize, usize, usize)> {
    let (rows, depths) = ([1, 4, 5, 7, 8, 9, 16, 61], [1, 3, 7, 8, 33, 191, 192, 193, 200, 500]);
    let cols = [1, 15, 16, 17, 32, 47, 48, 49, 95, 96, 97, 128, 131, 144];
    let mut all = Vec::new();
    for (i, &rows) in rows.iter().enumerate() {
        for (j, &depth) in depths.iter().enumerate() {
            // Every pair of rows and depth, and of each with columns, without all triples.
            all.extend(
                cols.iter().enumerate().filter(|(k, _)| (i + j + k) % 3 == 0).map(|(_, &c)| (rows, depth, c)),
            );
        }
    }
    all.extend([(64, 200, 131), (513, 193, 97)]);
    all
}

fn follows_the_definition<K: Kernel>() {
    for size in sizes() {
        let sides = Sides::new(size);
        let (f32s, bf16s) = (sides.exact(false), sides.exact(true));
        let tolerance = 1e-6 * (1.0 + sides.depth as f64 / 4.0);
        sides.every_way(|left, right, short| {
            for add in [false, true] {
                let got = sides.product::<K>(left, right, sides.rules(add));
                let wanted = if short { &bf16s } else { &f32s };
                let begun = if add { 0.5 } else { 0.0 };
                let worst = got
                    .iter()
                    .zip(wanted)
                    .map(|(g, w)| (f64::from(*g) - w - begun).abs())
                    .fold(0.0, f64::max);
                assert!(worst <= tolerance, "{size:?}, adds: {add}: {worst}");
            }
        });
    }
}

/// Whether the processor has a set; its absence is printed where no test can hide it.
fn here(isa: Isa) -> bool {
    use std::io::Write;
    if !isa.is_here() {
        let _ = writeln!(std::io::stderr(), "this processor has no {isa:?}: its kernels are not run");
    }
    isa.is_here()
}

#[test]
fn portable_products_follow_the_definition() {
    follows_the_definition::<kernel::Plain>();
}

#[test]
fn wide_products_follow_the_definition() {
    follows_the_definition::<kernel::Wide>();
}

#[test]
#[cfg(target_arch = "x86_64")]
fn avx2_products_follow_the_definition() {
    if here(Isa::Avx2) {
        follows_the_definition::<kernel::Avx2>();
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn avx512_products_are_those_of_its_portable_twin_bit_for_bit() {
    if !here(Isa::Avx512) {
        return;
    }
    for size in sizes() {
        let sides = Sides::new(size);
        sides.every_way(|left, right, _| {
            for add in [false, true] {
                let wide = sides.product::<kernel::Wide>(left, right, sides.rules(add));
                let avx512 = sides.product::<kernel::Avx512>(left, right, sides.rules(add));
                let avx2 = sides.product::<kernel::Avx2>(left, right, sides.rules(add));
                assert!(wide == avx512 && wide == avx2, "{size:?}, adds: {add}");
            }
        });
    }
}

#[test]
fn packed_weights_give_the_product_of_the_matrix_as_it_lies() {
    for size in [(5, 200, 131), (64, 192, 96), (61, 33, 144)] {
        let sides = Sides::new(size);
        let plain = Numbers::F32(&sides.b[0]).rows(sides.cols);
        let packed = Packed::new(plain, (sides.depth, sides.cols));
        let compute = |right: Right| {
            let mut out = vec![0f32; sides.rows * sides.cols];
            // SAFETY: the output has room for the product.
            unsafe {
                product(
                    &sides.rules(false),
                    sides.left(false),
                    right,
                    Out { data: out.as_mut_ptr(), row: sides.cols },
                );
            }
            out
        };
        assert_eq!(compute(plain.into()), compute(Right::Packed(&packed)), "{size:?}");
    }
}

/// Products of pairs against sums in f64 of both sides rounded to bf16.
fn pairs_follow_the_definition<K: Kernel>() {
    for size in sizes() {
        let mut sides = Sides::new(size);
        let exact = sides.left(false).data.to_vec();
        let round = |x: &mut Vec<f32>| x.iter_mut().for_each(|x| *x = half::bf16::from_f32(*x).to_f32());
        sides.a.iter_mut().for_each(round);
        let wanted = sides.exact(true);
        let plain = Numbers::F32(&sides.b[0]).rows(sides.cols);
        let packed = Packed::with_width(plain, (sides.depth, sides.cols), K::WIDTH).rounded();
        let lies = Numbers::Bf16(&sides.short).rows(sides.cols);
        let lies = Packed::with_width(lies, (sides.depth, sides.cols), K::WIDTH);
        let tolerance = 1e-6 * (1.0 + sides.depth as f64 / 4.0);
        for packed in [packed, lies] {
            let mut out = vec![0f32; sides.rows * sides.cols];
            let left = Left { data: &exact, row: sides.depth, col: 1 };
            let place = Out { data: out.as_mut_ptr(), row: sides.cols };
            // SAFETY: the output has room for the product.
            unsafe { pairs::run_pairs::<K>(&sides.rules(false), left, &packed, place) };
            let worst = out.iter().zip(&wanted).map(|(g, w)| (f64::from(*g) - w).abs()).fold(0.0, f64::max);
            assert!(worst <= tolerance, "{size:?}: {worst}");
        }
    }
}

#[test]
fn portable_pairs_follow_the_definition() {
    pairs_follow_the_definition::<kernel::WidePairs>();
}

#[test]
#[cfg(target_arch = "x86_64")]
fn avx512_pairs_follow_the_definition() {
    if here(Isa::Avx512) && has_pairs(Isa::Avx512) {
        pairs_follow_the_definition::<kernel::Avx512Pairs>();
    }
}

#[test]
fn packed_bf16_numbers_are_widened_where_pairs_are_not_multiplied() {
    for size in [(5, 200, 131), (64, 193, 96), (61, 33, 144)] {
        let sides = Sides::new(size);
        let lies = Numbers::Bf16(&sides.short).rows(sides.cols);
        let packed = Packed::with_width(lies, (sides.depth, sides.cols), kernel::Plain::WIDTH);
        let got =
            sides.product::<kernel::Plain>(sides.left(false), Right::Packed(&packed), sides.rules(false));
        let worst =
            got.iter().zip(sides.exact(true)).map(|(g, w)| (f64::from(*g) - w).abs()).fold(0.0, f64::max);
        assert!(worst <= 1e-4, "{size:?}: {worst}");
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    // Few columns and many rows, the other way round, and a transposed right side that is packed first.
    for size in [(700, 200, 128), (70, 130, 500), (128, 1100, 131)] {
        let sides = Sides::new(size);
        sides.every_way(|left, right, _| {
            let compute = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut out = vec![0f32; sides.rows * sides.cols];
                let place = out.as_mut_ptr() as usize;
                let rules = Rules { parallel: true, ..sides.rules(false) };
                // SAFETY: the output has room for the product.
                pool.install(|| unsafe {
                    product(&rules, left, right, Out { data: place as *mut f32, row: sides.cols });
                });
                out
            };
            let one = compute(1);
            assert!([2, 3, 8].iter().all(|&threads| compute(threads) == one), "{size:?}");
        });
    }
}

#[test]
fn what_nobody_keeps_is_finished_all_the_same() {
    let sides = Sides::new((70, 200, 131));
    let wanted = sides.product::<kernel::Wide>(
        sides.left(false),
        Numbers::F32(&sides.b[0]).rows(131).into(),
        sides.rules(false),
    );
    let found = std::sync::Mutex::new(vec![f32::NAN; 70 * 131]);
    let finish = |row: usize, first: usize, values: &mut [f32]| {
        assert_eq!((first % BLOCK, values.len()), (0, BLOCK.min(131 - first)));
        found.lock().unwrap()[row * 131 + first..][..values.len()].copy_from_slice(values);
    };
    let rules = Rules { finish: Some(&finish), parallel: true, ..sides.rules(false) };
    // SAFETY: there is no output.
    unsafe {
        run::<kernel::Wide>(
            &rules,
            sides.left(false),
            Numbers::F32(&sides.b[0]).rows(131).into(),
            Out::NOWHERE,
        );
    };
    assert_eq!(found.into_inner().unwrap(), wanted);
}

#[test]
#[should_panic(expected = "without an inner size")]
fn a_product_without_an_inner_size_is_refused() {
    let rules = Rules { rows: 1, depth: 0, cols: 1, scale: 1.0, add: false, finish: None, parallel: false };
    let right = Numbers::F32(&[]).rows(1).into();
    // SAFETY: refused before anything is read or written.
    unsafe { product(&rules, Left { data: &[], row: 1, col: 1 }, right, Out::NOWHERE) };
}
