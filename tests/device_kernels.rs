//! The GPU's kernels, compiled as C and run on this CPU, against their plain twins: odd shapes, both number formats, guard
//! bytes around every array; and the operators made of them against composed ones.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use candle_core::Device;
use half::bf16;
use maskscope::tensor::device::with_fused;
use maskscope::tensor::fused::launch::{ALL, Kernel, Rules};
use maskscope::tensor::fused::prove::prove;
use maskscope::tensor::fused::twin::{Arrays, STRIPES};

/// The kernels as a program.
fn program() -> &'static Path {
    static BUILT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = BUILT.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kernels");
        let kernels = root.join("src/tensor/fused/kernels.cu");
        let done = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".to_owned()))
            .args(["-std=gnu11", "-O2", "-Wall", "-Wno-unused-function", "-Werror", "-x", "c"])
            .arg(format!("-DKERNELS_FILE=\"{}\"", kernels.display()))
            .arg(root.join("tests/gpu/host.c"))
            .args(["-lm", "-o"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        (folder, path)
    });
    path
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Format {
    F32,
    Bf16,
    Ids,
}

/// Values as a kernel reads them, and their bytes.
fn encode(values: &[f32], format: Format) -> (Vec<f32>, Vec<u8>) {
    match format {
        Format::F32 => (values.to_vec(), values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Format::Bf16 => {
            let rounded: Vec<bf16> = values.iter().map(|&v| bf16::from_f32(v)).collect();
            (
                rounded.iter().map(|v| v.to_f32()).collect(),
                rounded.iter().flat_map(|v| v.to_le_bytes()).collect(),
            )
        }
        Format::Ids => (Vec::new(), values.iter().flat_map(|&v| (v as u32).to_le_bytes()).collect()),
    }
}

struct Case {
    rules: Rules,
    blocks: usize,
    x: Vec<f32>,
    y: (Vec<f32>, Format),
    z: (Vec<f32>, Format),
    out: (Vec<f32>, Format),
}

/// Largest difference between a kernel and its twin over the largest value.
fn apart(kernel: Kernel, format: Format, case: &Case) -> f32 {
    let (x, x_bytes) = encode(&case.x, format);
    let (y, y_bytes) = encode(&case.y.0, case.y.1);
    let (z, z_bytes) = encode(&case.z.0, case.z.1);
    let (mut expected, out_bytes) = encode(&case.out.0, case.out.1);
    let ids: Vec<u32> = case.y.0.iter().map(|&v| v as u32).collect();
    (kernel.twin)(&case.rules, Arrays { x: &x, y: &y, z: &z, ids: &ids, out: &mut expected });

    let suffix = if format == Format::F32 { "f32" } else { "bf16" };
    let mut input = format!("{}_{suffix}", kernel.name).into_bytes();
    input.resize(32, 0);
    for n in [case.blocks, x_bytes.len(), y_bytes.len(), z_bytes.len(), out_bytes.len()] {
        input.extend((n as u32).to_le_bytes());
    }
    let r = case.rules;
    for n in [r.rows, r.width, r.queries, r.start, r.heads, r.causal, r.batch_stride, r.head_stride] {
        input.extend(n.to_le_bytes());
    }
    for n in [r.a, r.b, r.c, r.d, r.e] {
        input.extend(n.to_le_bytes());
    }
    for bytes in [&x_bytes, &y_bytes, &z_bytes, &out_bytes] {
        input.extend(bytes.iter());
    }
    let mut child = Command::new(program())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    writer.join().unwrap().unwrap();
    let found: Vec<f32> = match case.out.1 {
        Format::Bf16 => done.stdout.chunks(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        _ => done.stdout.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect(),
    };
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    found
        .iter()
        .zip(&expected)
        .fold(0f32, |m, (a, b)| if (a - b).is_nan() { f32::NAN } else { m.max((a - b).abs()) })
        / scale
}

/// Noise in [−1, 1).
fn noise(n: usize, salt: usize) -> Vec<f32> {
    (0..n).map(|i| ((i + salt) * 7919 % 10_007) as f32 / 5003.5 - 1.0).collect()
}

/// Cases of a kernel over `rows` of `width` numbers.
fn cases(kernel: Kernel, format: Format, rows: usize, width: usize) -> Vec<Case> {
    let n = rows * width;
    let rules = Rules { rows: rows as i32, width: width as i32, a: 1e-5, ..Rules::default() };
    let nothing = || (Vec::new(), Format::F32);
    let (x, like_x) = (noise(n, 1), || (vec![0.0; n], format));
    let plain = Case { rules, blocks: rows, x, y: nothing(), z: nothing(), out: like_x() };
    let gain = || (noise(width, 2), Format::F32);
    let ids = (0..rows).map(|r| (r * 31 % width) as f32).collect();
    match kernel.name {
        "layer_norm" => vec![Case { y: gain(), z: (noise(width, 3), Format::F32), ..plain }],
        "layer_norm_back" => vec![Case { y: gain(), z: (noise(n, 4), format), ..plain }],
        "layer_norm_share" => {
            vec![Case { y: gain(), z: (noise(n, 4), format), out: (vec![0.0; n], Format::F32), ..plain }]
        }
        "column_sums" => {
            let out = (vec![0.0; STRIPES * width], Format::F32);
            vec![Case { blocks: STRIPES * width.div_ceil(32), out, ..plain }]
        }
        "add_bias" => vec![Case { y: gain(), ..plain }],
        "softmax" => softmaxes(plain, rows, width),
        "softmax_back" => {
            let weights = noise(n, 5).iter().map(|v| (v + 1.0) / width as f32).collect();
            vec![Case { rules: Rules { a: 0.4, ..rules }, x: weights, y: (noise(n, 6), format), ..plain }]
        }
        "dropout" => {
            // A key of two large halves; a third is dropped.
            let key =
                Rules { queries: -123_456_789, start: 1_987_654_321, heads: 1_431_655_765, a: 1.5, ..rules };
            vec![Case { rules: key, ..plain }]
        }
        "gelu" => vec![Case { x: noise(n, 7).iter().map(|v| 5.0 * v).collect(), ..plain }],
        "gelu_back" => {
            let x = noise(n, 7).iter().map(|v| 5.0 * v).collect();
            vec![Case { x, y: (noise(n, 8), format), ..plain }]
        }
        "row_loss" => vec![Case { y: (ids, Format::Ids), out: (vec![0.0; rows], Format::F32), ..plain }],
        "row_gradient" => vec![Case { rules: Rules { a: 0.25, ..rules }, y: (ids, Format::Ids), ..plain }],
        "first_moment" | "second_moment" | "adamw" => {
            // Flat: blocks of `width` elements, the last one not full.
            let n = n - width / 3;
            let rules = Rules { rows: n as i32, a: 0.9, b: 0.99, c: 0.7, d: 0.8, e: 1e-8, ..rules };
            let (x, y) = (noise(n, 1), (noise(n, 9).iter().map(|v| v * v).collect(), Format::F32));
            let out = (noise(n, 10).iter().map(|v| v * v).collect(), Format::F32);
            vec![Case { rules, x, y, out, ..plain }]
        }
        other => panic!("{other} has no case"),
    }
}

/// Two batches of two heads of `queries` over `keys`: with and without a causal rule and biases of every stride.
fn softmaxes(plain: Case, queries: usize, keys: usize) -> Vec<Case> {
    let plane = queries * keys;
    let mut all = Vec::new();
    for causal in [0, 1] {
        for (b, h) in [(0, 0), (1, 1), (2, 1), (1, 2), (2, 2)] {
            let start = keys.saturating_sub(queries);
            let hides = |i: usize| !i.is_multiple_of(keys) && (i * 7).is_multiple_of(5);
            let hidden = |i: usize| if hides(i) { f32::NEG_INFINITY } else { 0.0 };
            let bias: Vec<f32> = (0..b * h * plane).map(hidden).collect();
            let rules = Rules {
                queries: queries as i32,
                start: start as i32,
                heads: if b == 0 { 0 } else { 2 },
                causal,
                batch_stride: if b == 2 { (h * plane) as i32 } else { 0 },
                head_stride: if h == 2 { plane as i32 } else { 0 },
                a: 3.0,
                ..plain.rules
            };
            let (x, out) = (noise(4 * plane, 11), (vec![0.0; 4 * plane], plain.out.1));
            let y = (bias, Format::F32);
            all.push(Case { rules, blocks: 4 * queries, x, y, z: (Vec::new(), Format::F32), out });
        }
    }
    all
}

#[test]
fn every_kernel_agrees_with_its_plain_twin_and_stays_inside_its_arrays() {
    for kernel in ALL {
        for format in [Format::F32, Format::Bf16] {
            // There is no reduced form of a parameter.
            if (kernel.name, format) == ("adamw", Format::Bf16) {
                continue;
            }
            for (rows, width) in [(1, 1), (3, 33), (33, 65), (5, 128), (2, 1023), (130, 7)] {
                for case in cases(kernel, format, rows, width) {
                    let apart = apart(kernel, format, &case);
                    // One unit in the last place of what is written; in f32 also the order of sums.
                    let tolerance = if case.out.1 == Format::Bf16 { 1.0 / 128.0 } else { 2e-5 };
                    assert!(apart <= tolerance, "{} {format:?} {rows}×{width}: {apart}", kernel.name);
                }
            }
        }
    }
}

#[test]
fn the_operators_made_of_them_agree_with_composed_ones() {
    with_fused(|| prove(&Device::Cpu)).unwrap();
}
