//! Finite differences for every fused operator, argument by argument.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/paths.rs"]
mod paths;

use candle_core::{Device, Tensor, Var};
use maskscope::tensor::attention::Attention;
use maskscope::tensor::cross_entropy::{IGNORE, cross_entropy};
use maskscope::tensor::device::plain;
use maskscope::tensor::dropout::{Mask, dropout};
use maskscope::tensor::host;
use maskscope::tensor::kernels::activation::Activation;
use maskscope::tensor::ops::{activate, layer_norm, linear};

/// Numbers in ±1 that look random and are always the same.
fn numbers(n: usize, salt: u32) -> Vec<f32> {
    let number = |i: u32| {
        let mixed = (i * 2 + 1).wrapping_mul(0x9e37_79b9).wrapping_add(salt.wrapping_mul(0x85eb_ca6b));
        let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x2c1b_3c6d);
        ((mixed ^ (mixed >> 13)) >> 8) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..n as u32).map(number).collect()
}

fn tensor(shape: &[usize], salt: u32) -> Tensor {
    Tensor::from_vec(numbers(shape.iter().product(), salt), shape, &Device::Cpu).unwrap()
}

/// Compares the gradients of `Σ weights · f(args)` with central differences, at a sample of elements of every argument.
fn check(name: &str, args: Vec<Tensor>, f: impl Fn(&[Tensor]) -> Tensor) {
    let vars: Vec<Var> = args.iter().map(|a| Var::from_tensor(a).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let out = f(&tensors);
    // The loss operator can be differentiated once, so its scalar is taken as it is.
    let weights = tensor(out.dims(), 77);
    let scalar = |out: &Tensor| {
        if out.rank() == 0 { out.clone() } else { (out * &weights).unwrap().sum_all().unwrap() }
    };
    let grads = scalar(&out).backward().unwrap();
    let value = |args: &[Tensor]| -> f64 {
        let out = f(args).detach();
        if out.rank() == 0 {
            return f64::from(out.to_scalar::<f32>().unwrap());
        }
        let (a, b) = (host::values(&out).unwrap(), host::values(&weights).unwrap());
        a.iter().zip(&b).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum()
    };
    for (at, arg) in args.iter().enumerate() {
        let got =
            host::values(grads.get(&tensors[at]).unwrap_or_else(|| panic!("{name}: no gradient of {at}")))
                .unwrap();
        let base = host::values(arg).unwrap();
        let scale = got.iter().fold(1e-2f32, |m, g| m.max(g.abs()));
        for i in (0..base.len()).step_by((base.len() / 17).max(1)) {
            let moved = |by: f32| {
                let mut values = base.clone();
                values[i] += by;
                let mut all = args.clone();
                all[at] = Tensor::from_vec(values, arg.dims(), &Device::Cpu).unwrap();
                value(&all)
            };
            let h = 5e-3;
            let wanted = ((moved(h) - moved(-h)) / (2.0 * f64::from(h))) as f32;
            assert!(
                (got[i] - wanted).abs() <= 4e-3 * scale,
                "{name}, argument {at}, element {i}: {} against {wanted} at scale {scale}",
                got[i]
            );
        }
    }
}

#[test]
fn layer_norm_linear_activations_and_dropout() {
    let norm = |a: &[Tensor]| layer_norm(&a[0], &a[1], &a[2], 1e-5).unwrap();
    check("layer norm", vec![tensor(&[2, 3, 24], 1), tensor(&[24], 2), tensor(&[24], 3)], norm);
    let product = |a: &[Tensor]| linear(&a[0], &a[1], &a[2]).unwrap();
    check("linear", vec![tensor(&[2, 5, 12], 4), tensor(&[12, 18], 5), tensor(&[18], 6)], product);
    // Those with a kink are held against PyTorch's own slopes.
    let kinks = ["relu", "relu2", "relu6", "leaky_relu", "hardswish"];
    for (name, kind) in Activation::NAMES.into_iter().filter(|(name, _)| !kinks.contains(name)) {
        let x = (tensor(&[3, 40], 7) * 3.0).unwrap();
        check(name, vec![x], |a| activate(&a[0], kind).unwrap());
    }
    // ReLU away from its kink.
    let x = tensor(&[3, 40], 7).affine(1.0, 0.0).unwrap();
    let away: Vec<f32> = host::values(&x).unwrap().iter().map(|v| v + 0.1 * v.signum()).collect();
    let x = Tensor::from_vec(away, (3, 40), &Device::Cpu).unwrap();
    check("relu", vec![x], |a| activate(&a[0], Activation::Relu).unwrap());
    check("dropout", vec![tensor(&[4, 50], 8)], |a| dropout(&a[0], 0.4, (3, 1)).unwrap());
}

#[test]
fn attention_plain_and_under_a_bias() {
    let rule =
        |bias: Option<Tensor>, causal: bool| Attention { heads: 2, scale: 0.35, causal, bias, noise: None };
    let qkv = || vec![tensor(&[2, 9, 3 * 16], 9)];
    check("causal attention", qkv(), |a| rule(None, true).packed(&a[0]).unwrap());
    let mut hidden = vec![0f32; 2 * 9 * 9];
    for (i, cell) in hidden.iter_mut().enumerate() {
        let (query, key) = (i / 9 % 9, i % 9);
        if key < query && (i * 7) % 3 == 0 {
            *cell = f32::NEG_INFINITY;
        }
    }
    let bias = Tensor::from_vec(hidden, (2, 1, 9, 9), &Device::Cpu).unwrap();
    check("attention with hidden keys", qkv(), |a| rule(Some(bias.clone()), true).packed(&a[0]).unwrap());
    let free = tensor(&[1, 2, 9, 9], 10);
    check("attention by bias alone", qkv(), |a| rule(Some(free.clone()), false).packed(&a[0]).unwrap());
    let dropped = Attention { noise: Some(Mask::new(0.3, (4, 2))), ..rule(None, true) };
    check("attention with dropped weights", qkv(), |a| dropped.packed(&a[0]).unwrap());
}

#[test]
fn cross_entropy_with_labels_left_out() {
    let mut targets: Vec<u32> = (0..11).map(|i| i * 3 % 30).collect();
    targets[4] = IGNORE;
    let args = vec![tensor(&[11, 8], 11), tensor(&[30, 8], 12)];
    check("cross-entropy", args, |a| cross_entropy(&a[0], &a[1], &targets, true).unwrap());
}

#[test]
fn a_frozen_argument_gets_no_gradient_and_the_others_the_same() {
    let (x, w, b) = (tensor(&[5, 12], 4), tensor(&[12, 18], 5), tensor(&[18], 6));
    let var = |t: &Tensor| Var::from_tensor(t).unwrap();
    let all = (var(&x), var(&w), var(&b));
    let whole = linear(all.0.as_tensor(), all.1.as_tensor(), all.2.as_tensor()).unwrap().sum_all().unwrap();
    let whole = whole.backward().unwrap();
    let only = var(&x);
    let part = linear(only.as_tensor(), &w, &b).unwrap().sum_all().unwrap().backward().unwrap();
    // Composed of the library's operators a frozen argument's gradient is made and thrown away.
    assert!(plain() || (part.get(&w).is_none() && part.get(&b).is_none()));
    let values = |t: Option<&Tensor>| host::values(t.unwrap()).unwrap();
    assert_eq!(values(part.get(only.as_tensor())), values(whole.get(all.0.as_tensor())));
}

#[test]
fn every_set_of_kernels_passes() {
    paths::on_every_path("every_set_of_kernels_passes");
}
