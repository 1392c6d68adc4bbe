//! Numbers that are none: a NaN or infinite weight is refused by name when a model is read, and a pass whose results are
//! not finite ends in an error. Kernels may turn a NaN into a zero, so that nothing later would show it.

use super::error::ModelError;
use super::language_model::Model;
use super::trace::Trace;
use crate::tensor::host;

/// Values looked at together; they are still in the cache when the position of a bad one is asked for.
const STRETCH: usize = 4096;

/// The exponent of NaN and of the infinities.
const EXPONENT: u32 = 0x7f80_0000;

/// Position of the first value that is NaN or infinite.
pub fn first_bad(values: &[f32]) -> Option<usize> {
    // A sum without a way out, which compilers turn into vector code.
    let bad = |part: &[f32]| {
        part.iter().fold(0u32, |any, x| any | u32::from(x.to_bits() & EXPONENT == EXPONENT)) != 0
    };
    let at = values.chunks(STRETCH).position(bad)? * STRETCH;
    values[at..].iter().position(|x| !x.is_finite()).map(|within| at + within)
}

/// Refuses a tensor of `shape` with a value that is no number.
///
/// # Errors
/// [`ModelError::NotFinite`], with the place of the first such value.
pub fn check(file: &str, tensor: &str, shape: &[usize], values: &[f32]) -> Result<(), ModelError> {
    let Some(at) = first_bad(values) else { return Ok(()) };
    let (mut place, mut rest) = (Vec::new(), at);
    for &n in shape.iter().rev() {
        place.insert(0, (rest % n.max(1)).to_string());
        rest /= n.max(1);
    }
    let value = if values[at].is_nan() { "NaN" } else { "an infinite value" };
    let place = if place.is_empty() { String::new() } else { format!(" at [{}]", place.join(", ")) };
    Err(ModelError::NotFinite {
        file: file.to_owned(),
        tensor: tensor.to_owned(),
        what: format!("{value}{place}"),
    })
}

/// Refuses results of a pass that are no numbers, and says where they came from.
///
/// # Errors
/// Input that the model makes NaN or infinite values of, by weight or by layer.
pub fn check_results(model: &Model, trace: &Trace, results: &[f32]) -> Result<(), ModelError> {
    if first_bad(results).is_none() {
        return Ok(());
    }
    let problem = format!("the model's output is not a number: {}", origin(model, trace));
    Err(ModelError::input(problem).with_hint(
        "the weights are damaged or their training diverged: choose an earlier checkpoint or another model",
    ))
}

/// As [`check_results`], of the states after the final norm.
///
/// # Errors
/// As [`check_results`]; those of a device.
pub fn check_trace(model: &Model, trace: &Trace) -> Result<(), ModelError> {
    host::with_slice(&trace.hidden, |states| check_results(model, trace, states))?
}

/// The first weight, or else the first layer, with a value that is no number.
fn origin(model: &Model, trace: &Trace) -> String {
    for (parameter, weight) in model.named_weights() {
        let mut bad = false;
        if weight.visit(|values| bad |= first_bad(values).is_some()).is_ok() && bad {
            return format!("tensor {} holds NaN or an infinite value", parameter.name);
        }
    }
    let bad = |rows: &[f32]| first_bad(rows).is_some();
    let layer = trace.layers.iter().position(|l| l.residual.with_slice(bad).unwrap_or(false));
    match layer {
        Some(0) => "the embeddings of this text grow beyond what float32 holds".to_owned(),
        Some(n) => format!("values grow beyond what float32 holds in layer {}", n - 1),
        None => "values grow beyond what float32 holds after the last layer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bad_value_is_found_wherever_it_stands() {
        let mut values = vec![1.5f32; 3 * STRETCH + 7];
        values[2] = f32::MAX;
        values[3] = f32::from_bits(1);
        assert_eq!(first_bad(&values), None);
        for (at, bad) in [(3 * STRETCH + 6, f32::NAN), (STRETCH, f32::INFINITY), (0, f32::NEG_INFINITY)] {
            values[at] = bad;
            assert_eq!(first_bad(&values), Some(at));
        }
    }

    #[test]
    fn the_error_names_file_tensor_and_place() {
        let mut values = vec![0f32; 12];
        assert!(check("f", "w", &[2, 2, 3], &values).is_ok());
        values[7] = f32::NAN;
        let error = check("a/model.safetensors", "h.0.attn.c_attn.weight", &[2, 2, 3], &values).unwrap_err();
        let text = "a/model.safetensors: tensor h.0.attn.c_attn.weight holds NaN at [1, 0, 1], so the model cannot run";
        assert_eq!(error.to_string(), text);
        assert!(error.hint().is_some());
        let error = check("f", "w", &[], &[f32::INFINITY]).unwrap_err();
        assert_eq!(error.to_string(), "f: tensor w holds an infinite value, so the model cannot run");
    }
}
