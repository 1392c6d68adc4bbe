//! How long the kernels take at the sizes of GPT-2 small, beside the arithmetic they are measured in. `cargo bench
//! --bench kernels`; `MASKSCOPE_KERNELS=plain` or `avx2` chooses an instruction set.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use maskscope::mask::decide::{DecisionInput, decide};
use maskscope::mask::types::MaskSettings;
use maskscope::support::random::splitmix64;
use maskscope::tensor::kernels::activation::Activation;
use maskscope::tensor::kernels::attention::{Rows, Shape, forward};
use maskscope::tensor::kernels::layer_norm;
use maskscope::tensor::kernels::matmul::{View, product_of};
use maskscope::tensor::kernels::packed::Packed;
use maskscope::tensor::kernels::right::{Numbers, Right};
use maskscope::tensor::linear::{Linear, apply};

/// GPT-2 small.
const WIDTH: usize = 768;
const HEADS: usize = 12;
const LENGTHS: [usize; 3] = [1, 64, 256];

/// Random numbers around 0.
fn numbers(n: usize, seed: u32) -> Vec<f32> {
    let number = |i: usize| (splitmix64(u64::from(seed), i as u64) >> 40) as f32 / (1u32 << 24) as f32 - 0.5;
    (0..n).map(number).collect()
}

fn products(c: &mut Criterion) {
    let mut group = c.benchmark_group("linear 768 to 3072 with GELU");
    let (weight, bias) = (numbers(WIDTH * 4 * WIDTH, 1), numbers(4 * WIDTH, 2));
    let activation = Some(Activation::GeluNew);
    let lies = Numbers::F32(&weight).rows(4 * WIDTH);
    let packed = Packed::new(lies, (WIDTH, 4 * WIDTH));
    for (way, weight) in [("as it lies", lies.into()), ("packed", Right::Packed(&packed))] {
        let layer = Linear { weight, bias: &bias, add: false, activation };
        for rows in LENGTHS {
            let (x, mut out) = (numbers(rows * WIDTH, 3), vec![0f32; rows * 4 * WIDTH]);
            group.throughput(Throughput::Elements((2 * rows * WIDTH * 4 * WIDTH) as u64));
            group.bench_function(BenchmarkId::new(way, rows), |b| {
                b.iter(|| apply(&layer, black_box(&x), &mut out));
            });
        }
    }
    group.finish();
}

/// The three products of a linear layer in training: its output, the gradient of its input, that of its weight.
fn training(c: &mut Criterion) {
    const ROWS: usize = 512;
    let mut group = c.benchmark_group("training, 512 rows, 768 to 3072");
    group.throughput(Throughput::Elements((2 * ROWS * WIDTH * 4 * WIDTH) as u64));
    let (x, w, g) = (numbers(ROWS * WIDTH, 1), numbers(WIDTH * 4 * WIDTH, 2), numbers(ROWS * 4 * WIDTH, 3));
    let (x, w) = (View::new(&x, ROWS, WIDTH), View::new(&w, WIDTH, 4 * WIDTH));
    let g = View::new(&g, ROWS, 4 * WIDTH);
    for (name, a, b) in
        [("output", x, w), ("input", g, w.t()), ("weight", x.t(), g), ("narrow weight", g.t(), x)]
    {
        group.bench_function(name, |bench| bench.iter(|| black_box(product_of(black_box(a), b))));
    }
    group.finish();
}

fn attention(c: &mut Criterion) {
    let mut group = c.benchmark_group("attention, 12 heads");
    for keys in [64, 256, 1024] {
        let qkv = numbers(keys * 3 * WIDTH, 4);
        let shape = Shape {
            batch: 1,
            heads: HEADS,
            head_dim: WIDTH / HEADS,
            queries: keys,
            keys,
            start: 0,
            scale: 0.125,
            causal: true,
            bias: None,
            noise: None,
        };
        let rows = |part: usize| Rows { data: &qkv[part * WIDTH..], batch_stride: 0, row_stride: 3 * WIDTH };
        group.bench_function(BenchmarkId::from_parameter(keys), |b| {
            b.iter(|| black_box(forward(&shape, rows(0), rows(1), rows(2))));
        });
    }
    group.finish();
}

fn norms(c: &mut Criterion) {
    let (x, gain, bias) = (numbers(256 * WIDTH, 5), numbers(WIDTH, 6), numbers(WIDTH, 7));
    let mut out = vec![0f32; x.len()];
    c.bench_function("layer norm, 256 rows", |b| {
        b.iter(|| layer_norm::forward(black_box(&x), &gain, &bias, 1e-5, &mut out));
    });
}

fn decisions(c: &mut Criterion) {
    let scores: Vec<Option<f64>> = numbers(1024, 8).into_iter().map(|x| Some(f64::from(x))).collect();
    let ids: Vec<u32> = (0..1024).collect();
    let input = DecisionInput { scores: &scores, ids: &ids, ..DecisionInput::default() };
    let mask = MaskSettings::default();
    c.bench_function("decision, 1024 positions", |b| b.iter(|| decide(black_box(&mask), &input)));
}

criterion_group!(benches, products, training, attention, norms, decisions);
criterion_main!(benches);
