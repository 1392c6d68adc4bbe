//! The kernels against composed operators on the device they are to run on, on shapes that fill no block: what does not
//! agree there is not used.

use candle_core::{DType, Device, Result, Tensor, Var, bail};

use super::super::adamw::{AdamW, AdamWSettings};
use super::super::attention::Attention;
use super::super::cross_entropy::cross_entropy;
use super::super::device::with_plain;
use super::super::dropout::{Mask, dropout};
use super::super::host;
use super::super::kernels::activation::Activation;
use super::super::ops::{activate, layer_norm, linear};

/// Numbers in [−1, 1) that look like noise.
fn tensor(shape: &[usize], salt: usize, device: &Device) -> Result<Tensor> {
    let n: usize = shape.iter().product();
    let value = |i: usize| ((i + salt) * 7919 % 1009) as f32 / 504.5 - 1.0;
    Tensor::from_vec((0..n).map(value).collect::<Vec<_>>(), shape, device)
}

/// Largest difference, over the largest value.
fn apart(a: &Tensor, b: &Tensor) -> Result<f32> {
    let (a, b) = (host::values(a)?, host::values(b)?);
    let scale = a.iter().chain(&b).fold(1e-6f32, |m, x| m.max(x.abs()));
    let apart = a.iter().zip(&b).map(|(x, y)| (x - y).abs()).fold(0f32, f32::max);
    Ok(match a.iter().chain(&b).all(|x| x.is_finite()) {
        true => apart / scale,
        false => f32::INFINITY,
    })
}

type Operator<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;

/// Value and gradients of `f`, both ways, in f32 and in bf16 where `formats` says so.
fn same(name: &str, args: &[Tensor], formats: &[DType], f: Operator) -> Result<()> {
    for &format in formats {
        let once = || -> Result<Vec<Tensor>> {
            let vars = args.iter().map(Var::from_tensor).collect::<Result<Vec<_>>>()?;
            let given = vars.iter().map(|v| v.as_tensor().to_dtype(format)).collect::<Result<Vec<_>>>()?;
            let out = f(&given)?.to_dtype(DType::F32)?;
            let weights = tensor(out.dims(), 5, out.device())?;
            let grads = (&out * weights)?.sum_all()?.backward()?;
            let mut all = vec![out];
            for var in &vars {
                match grads.get(var.as_tensor()) {
                    Some(grad) => all.push(grad.clone()),
                    None => bail!("{name}: an argument gets no gradient"),
                }
            }
            Ok(all)
        };
        let tolerance = if format == DType::F32 { 1e-4 } else { 3e-2 };
        for (at, (ours, plain)) in once()?.iter().zip(&with_plain(once)?).enumerate() {
            let apart = apart(ours, plain)?;
            if apart > tolerance {
                bail!("{name} in {format:?}, output {at}: {apart:.1e} from its composed twin");
            }
        }
    }
    Ok(())
}

fn optimiser(device: &Device) -> Result<()> {
    let once = || -> Result<Vec<Tensor>> {
        let var = Var::from_tensor(&tensor(&[37, 61], 3, device)?)?;
        let mut adamw = AdamW::new(vec![("w".to_owned(), var.clone())], AdamWSettings::default())?;
        for salt in 0..3 {
            let loss = (var.as_tensor() * tensor(&[37, 61], salt, device)?)?.sqr()?.sum_all()?;
            adamw.step(&loss.backward()?, 1e-2, 1.0)?;
        }
        Ok(vec![var.as_tensor().copy()?])
    };
    let apart = apart(&once()?[0], &with_plain(once)?[0])?;
    match apart <= 1e-5 {
        true => Ok(()),
        false => bail!("AdamW: {apart:.1e} from its composed twin"),
    }
}

/// Every operator whose kernel `device` would run, with its gradients, against the composed one.
///
/// # Errors
/// The first that differs, or that does not run.
pub fn prove(device: &Device) -> Result<()> {
    let t = |shape: &[usize], salt| tensor(shape, salt, device);
    let both = [DType::F32, DType::BF16];
    let norm = [t(&[2, 3, 131], 1)?, t(&[131], 2)?, t(&[131], 3)?];
    same("layer norm", &norm, &both, &|a| layer_norm(&a[0], &a[1], &a[2], 1e-5))?;
    let product = [t(&[2, 33, 12], 4)?, t(&[12, 50], 5)?, t(&[50], 6)?];
    same("linear", &product, &both, &|a| linear(&a[0], &a[1], &a[2]))?;
    same("GELU", &[(t(&[3, 141], 7)? * 3.0)?], &both, &|a| activate(&a[0], Activation::GeluNew))?;
    same("dropout", &[t(&[4, 51], 8)?], &both, &|a| dropout(&a[0], 0.4, (3, 1)))?;
    for n in [1, 33, 140] {
        let cell =
            |i: usize| if i % n < i / n % n && (i * 7).is_multiple_of(3) { f32::NEG_INFINITY } else { 0.0 };
        let hidden = Tensor::from_vec((0..2 * n * n).map(cell).collect::<Vec<_>>(), (2, 1, n, n), device)?;
        for bias in [None, Some(hidden)] {
            let noise = bias.is_some().then(|| Mask::new(0.2, (7, 2)));
            let rule = Attention { heads: 2, scale: 0.35, causal: true, bias, noise };
            same("attention", &[t(&[2, n, 48], 9)?], &both, &|a| rule.packed(&a[0]))?;
        }
    }
    let targets: Vec<u32> = (0..11).map(|i| i * 3 % 150).collect();
    let output = [t(&[11, 8], 11)?, t(&[150, 8], 12)?];
    same("cross-entropy", &output, &[DType::F32], &|a| cross_entropy(&a[0], &a[1], &targets, true))?;
    optimiser(device)
}
