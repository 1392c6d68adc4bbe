//! Single matrix products, as forward passes and training steps are made of: on one thread and on all of the pool.

use anyhow::Context as _;

use super::arithmetic::{Arithmetic, operations};
use super::measure::CaseMeter;
use super::report::Case;
use crate::support::random::splitmix64;
use crate::tensor::kernels::matmul::{Threads, View, matmul};
use crate::tensor::kernels::packed::Packed;
use crate::tensor::kernels::peak::Operands;
use crate::tensor::kernels::right::{Numbers, Right};
use crate::tensor::linear::project;

/// The matrices of GPT-2 small, `[inner, columns]`.
const LARGE: [(usize, usize); 5] = [(768, 2304), (768, 768), (768, 3072), (3072, 768), (768, 50257)];
/// Rows that they are multiplied with.
const LARGE_ROWS: [usize; 3] = [64, 256, 1024];
/// The matrices of the bundled model, and the rows of a step.
const SMALL: [(usize, usize); 5] = [(128, 384), (128, 128), (128, 512), (512, 128), (128, 4096)];
const SMALL_ROWS: usize = 2048;
/// Matrices that take turns, so that none is in a cache already; of the largest one is enough.
const TURNS: usize = 6;
const ENOUGH: usize = 1 << 25;

/// What a product computes of a matrix `w` `[inner, columns]`, rows `x` `[rows, inner]` and gradients `g` `[rows, columns]`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Product {
    /// `x w`, `w` packed.
    Output,
    /// `g wᵀ`, `w` packed.
    Input,
    /// `xᵀ g`.
    Weight,
}

impl Product {
    fn name(self, (inner, columns): (usize, usize)) -> String {
        let suffix = match self {
            Product::Output => "",
            Product::Input => " input gradient",
            Product::Weight => " weight gradient",
        };
        format!("product {inner}x{columns}{suffix}")
    }
}

/// Measures all products that are wanted.
///
/// # Errors
/// A pool that cannot be made.
pub fn measure(meter: &CaseMeter) -> anyhow::Result<Vec<Case>> {
    let mut cases = Vec::new();
    for size in LARGE {
        subject(Product::Output, size, &LARGE_ROWS, meter, &mut cases)?;
    }
    for size in SMALL {
        for product in [Product::Output, Product::Input, Product::Weight] {
            subject(product, size, &[SMALL_ROWS], meter, &mut cases)?;
        }
    }
    Ok(cases)
}

/// One matrix with several numbers of rows, on one thread and on all.
fn subject(
    product: Product,
    size: (usize, usize),
    rows: &[usize],
    meter: &CaseMeter,
    cases: &mut Vec<Case>,
) -> anyhow::Result<()> {
    if !meter.wants(&product.name(size)) {
        return Ok(());
    }
    let mut matrices = Matrices::new(product, size);
    for &rows in rows {
        let mut factors = Factors::new(product, size, rows);
        for threads in thread_counts() {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let pool = pool.context("threads cannot be started")?;
            cases.push(pool.install(|| case(&mut matrices, &mut factors, meter)));
        }
    }
    Ok(())
}

/// One, and those of the pool in use.
fn thread_counts() -> Vec<usize> {
    let all = rayon::current_num_threads();
    if all > 1 { vec![1, all] } else { vec![1] }
}

fn case(matrices: &mut Matrices, factors: &mut Factors, meter: &CaseMeter) -> Case {
    let Matrices { product, size, .. } = *matrices;
    let multiply_adds = (factors.rows * size.0 * size.1) as f64;
    let work = Arithmetic { operations: operations(multiply_adds), operands: Some(Operands::F32) };
    let measured = meter.counted(&product.name(size), factors.rows, work, || {
        let weight = matrices.next();
        factors.multiply(product, size, weight);
        Ok::<(), std::convert::Infallible>(())
    });
    match measured {
        Ok(case) => case,
        Err(never) => match never {},
    }
}

/// The packed weights of one size, which take turns; none for a product of rows and gradients.
struct Matrices {
    product: Product,
    size: (usize, usize),
    packed: Vec<Packed>,
    turn: usize,
}

impl Matrices {
    fn new(product: Product, size: (usize, usize)) -> Self {
        let (inner, columns) = size;
        let count = match product {
            Product::Weight => 0,
            _ if inner * columns > ENOUGH => 1,
            _ => TURNS,
        };
        let pack = |seed: usize| {
            let weight = numbers(inner * columns, seed as u64);
            match product {
                Product::Output => Packed::new(Numbers::F32(&weight).rows(columns), (inner, columns)),
                _ => Packed::new(Numbers::F32(&weight).transposed(columns), (columns, inner)),
            }
        };
        Matrices { product, size, packed: (0..count).map(pack).collect(), turn: 0 }
    }

    fn next(&mut self) -> Option<&Packed> {
        self.turn += 1;
        self.packed.get(self.turn % self.packed.len().max(1))
    }
}

/// Rows, gradients and the output of a product.
struct Factors {
    rows: usize,
    x: Vec<f32>,
    g: Vec<f32>,
    out: Vec<f32>,
}

impl Factors {
    fn new(product: Product, (inner, columns): (usize, usize), rows: usize) -> Self {
        let x = if product == Product::Input { 0 } else { rows * inner };
        let g = if product == Product::Output { 0 } else { rows * columns };
        let out = match product {
            Product::Output => rows * columns,
            Product::Input => rows * inner,
            Product::Weight => inner * columns,
        };
        Factors { rows, x: numbers(x, 100), g: numbers(g, 101), out: vec![0.0; out] }
    }

    fn multiply(&mut self, product: Product, (inner, columns): (usize, usize), weight: Option<&Packed>) {
        match (product, weight) {
            (Product::Output, Some(weight)) => {
                project(&self.x, Right::Packed(weight), (inner, columns), &mut self.out);
            }
            (Product::Input, Some(weight)) => {
                project(&self.g, Right::Packed(weight), (columns, inner), &mut self.out);
            }
            _ => {
                let (x, g) = (View::new(&self.x, self.rows, inner), View::new(&self.g, self.rows, columns));
                matmul(&mut self.out, columns, x.t(), g, 1.0, 0.0, Threads::Pool);
            }
        }
    }
}

/// Numbers around 0, one counter each.
fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let number = |i: usize| (splitmix64(seed, i as u64) >> 40) as f32 / (1u32 << 24) as f32 - 0.5;
    (0..n).map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_product_computes_what_its_name_says() {
        let (size, rows) = ((20, 33), 7);
        let (inner, columns) = size;
        for product in [Product::Output, Product::Input, Product::Weight] {
            let (matrices, mut factors) = (Matrices::new(product, size), Factors::new(product, size, rows));
            factors.multiply(product, size, matrices.packed.first());
            let w = numbers(inner * columns, 0);
            let sum = |n: usize, term: &dyn Fn(usize) -> f32| (0..n).map(term).sum::<f32>();
            let (got, wanted) = match product {
                Product::Output => (
                    factors.out[3 * columns + 5],
                    sum(inner, &|i| factors.x[3 * inner + i] * w[i * columns + 5]),
                ),
                Product::Input => (
                    factors.out[3 * inner + 5],
                    sum(columns, &|c| factors.g[3 * columns + c] * w[5 * columns + c]),
                ),
                Product::Weight => (
                    factors.out[3 * columns + 5],
                    sum(rows, &|r| factors.x[r * inner + 3] * factors.g[r * columns + 5]),
                ),
            };
            assert!((got - wanted).abs() < 1e-4, "{}: {got} {wanted}", product.name(size));
        }
    }

    #[test]
    fn a_product_runs_on_one_thread_and_on_all() {
        let mut cases = Vec::new();
        let meter = CaseMeter::new(1, vec!["product".to_owned()]);
        subject(Product::Weight, (8, 8), &[16], &meter, &mut cases).unwrap();
        let threads: Vec<usize> = cases.iter().map(|c| c.threads).collect();
        assert_eq!(threads, thread_counts());
        assert!(cases.iter().all(|c| c.tokens == 16 && c.gflops.is_some_and(|rate| rate > 0.0)));
    }
}
