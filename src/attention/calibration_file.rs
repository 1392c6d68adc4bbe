//! A calibration as bytes: a safetensors file whose metadata says what it was made from.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};

use super::calibration::{Averages, Calibration, CalibrationError, CalibrationSource, bins};

/// Grows when the meaning of the numbers changes.
pub const VERSION: u32 = 2;
const KEY: &str = "maskscope-calibration";
/// No model read here comes near these.
const MAX_HEADS: usize = 1 << 16;
const MAX_WINDOW: usize = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    weights: String,
    text: String,
    n_layer: usize,
    n_head: usize,
    window: usize,
    windows: usize,
}

impl Calibration {
    /// The whole calibration; the same bytes every time.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CalibrationError> {
        let header = Header {
            version: VERSION,
            weights: self.source.weights.clone(),
            text: self.source.text.clone(),
            n_layer: self.n_layer,
            n_head: self.n_head,
            window: self.window,
            windows: self.windows,
        };
        let damaged = |e: &dyn std::fmt::Display| CalibrationError::Damaged(e.to_string());
        let heads = self.n_layer * self.n_head;
        let tables = [
            ("alpha", &self.alpha.gbar),
            ("contribution", &self.contribution.gbar),
            ("sample.alpha", &self.alpha.sample),
            ("sample.contribution", &self.contribution.sample),
        ];
        let bytes: Vec<(&str, Vec<usize>, Vec<u8>)> = tables
            .iter()
            .map(|(name, values)| {
                let sample = name.starts_with("sample");
                let other = values.len() / heads.max(1);
                let shape = if sample { vec![other, heads] } else { vec![heads, other] };
                (*name, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
            })
            .collect();
        let mut views = Vec::new();
        for (name, shape, data) in &bytes {
            views.push((*name, TensorView::new(Dtype::F32, shape.clone(), data).map_err(|e| damaged(&e))?));
        }
        // One key, because a map of several has no fixed order and the bytes would differ from run to run.
        let text = serde_json::to_string(&header).map_err(|e| damaged(&e))?;
        serialize(views, Some(HashMap::from([(KEY.to_owned(), text)]))).map_err(|e| damaged(&e))
    }

    /// Reads what [`Calibration::to_bytes`] wrote, checking every size and every number.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CalibrationError> {
        let damaged = |e: &dyn std::fmt::Display| CalibrationError::Damaged(e.to_string());
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(&e))?;
        let text = metadata
            .metadata()
            .as_ref()
            .and_then(|m| m.get(KEY))
            .ok_or_else(|| damaged(&format!("no {KEY} in its metadata")))?;
        let header: Header = serde_json::from_str(text).map_err(|e| damaged(&e))?;
        if header.version != VERSION {
            return Err(CalibrationError::Other("version of maskscope"));
        }
        let heads = header.n_layer.checked_mul(header.n_head).filter(|&n| n > 0 && n <= MAX_HEADS);
        let Some(heads) = heads else {
            return Err(damaged(&format!("{} layers of {} heads", header.n_layer, header.n_head)));
        };
        if header.window < 3 || header.window > MAX_WINDOW || header.windows == 0 {
            return Err(damaged(&format!("{} windows of {} tokens", header.windows, header.window)));
        }
        let file = SafeTensors::deserialize(bytes).map_err(|e| damaged(&e))?;
        let table = |name: &str| -> Result<Averages, CalibrationError> {
            let gbar = read(&file, name, |s| s == [heads, bins(header.window).len()])?;
            let sample =
                read(&file, &format!("sample.{name}"), |s| matches!(s, [n, h] if *n > 0 && *h == heads))?;
            Ok(Averages { gbar, sample })
        };
        Ok(Calibration {
            n_layer: header.n_layer,
            n_head: header.n_head,
            window: header.window,
            windows: header.windows,
            alpha: table("alpha")?,
            contribution: table("contribution")?,
            source: CalibrationSource { weights: header.weights, text: header.text },
        })
    }

    /// Reads a cached calibration and refuses one of other weights or another text.
    pub fn from_bytes_for(bytes: &[u8], expected: &CalibrationSource) -> Result<Self, CalibrationError> {
        let found = Calibration::from_bytes(bytes)?;
        if found.source.weights != expected.weights {
            return Err(CalibrationError::Other("weights"));
        }
        if found.source.text != expected.text {
            return Err(CalibrationError::Other("calibration text"));
        }
        Ok(found)
    }
}

fn read(
    file: &SafeTensors,
    name: &str,
    shape_fits: impl Fn(&[usize]) -> bool,
) -> Result<Vec<f32>, CalibrationError> {
    let bad = |why: &str| CalibrationError::Damaged(format!("{name} {why}"));
    let view = file.tensor(name).map_err(|_| bad("is missing"))?;
    if view.dtype() != Dtype::F32 || !shape_fits(view.shape()) {
        return Err(bad(&format!("has the shape {:?} of {:?}", view.shape(), view.dtype())));
    }
    let values: Vec<f32> =
        view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    if values.iter().any(|v| !v.is_finite() || *v < 0.0) {
        return Err(bad("contains a number that is negative or not finite"));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::super::calibration::CalibrationBuilder;
    use super::super::testing::random_maps;
    use super::*;
    use proptest::prelude::*;

    fn some() -> Calibration {
        let mut builder = CalibrationBuilder::new(2, 3, 80, 2);
        for seed in 0..2 {
            builder.add(&random_maps(2, 3, 80, 4.0, seed)).unwrap();
        }
        builder.finish(source()).unwrap()
    }

    fn source() -> CalibrationSource {
        CalibrationSource { weights: "ab".to_owned(), text: "cd".to_owned() }
    }

    #[test]
    fn a_calibration_comes_back_bit_for_bit() {
        let made = some();
        let bytes = made.to_bytes().unwrap();
        assert_eq!(Calibration::from_bytes(&bytes).unwrap(), made);
        assert_eq!(bytes, made.to_bytes().unwrap());
    }

    #[test]
    fn a_calibration_of_something_else_is_refused() {
        let bytes = some().to_bytes().unwrap();
        assert!(Calibration::from_bytes_for(&bytes, &source()).is_ok());
        let weights = CalibrationSource { weights: "xx".to_owned(), ..source() };
        assert_eq!(Calibration::from_bytes_for(&bytes, &weights), Err(CalibrationError::Other("weights")));
        let text = CalibrationSource { text: "xx".to_owned(), ..source() };
        let refused = Calibration::from_bytes_for(&bytes, &text).unwrap_err();
        assert_eq!(refused.to_string(), "the calibration file is for other calibration text");
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        for bad in [f32::NAN, -1.0, f32::INFINITY] {
            let mut made = some();
            made.contribution.gbar[3] = bad;
            let refused = Calibration::from_bytes(&made.to_bytes().unwrap()).unwrap_err();
            assert!(refused.to_string().contains("contribution contains a number"), "{refused}");
        }
        let mut made = some();
        made.window = 40;
        assert!(Calibration::from_bytes(&made.to_bytes().unwrap()).is_err(), "bins do not fit the window");
        made.window = usize::MAX;
        assert!(Calibration::from_bytes(&made.to_bytes().unwrap()).is_err());
        let mut made = some();
        made.n_layer = usize::MAX;
        made.n_head = 2;
        assert!(Calibration::from_bytes(&made.to_bytes().unwrap_or_default()).is_err());
    }

    proptest! {
        #[test]
        fn damaged_files_are_refused_and_never_panic(cut in 0usize..9000, at in 0usize..600, byte in 0u8..=255) {
            let bytes = some().to_bytes().unwrap();
            if cut < bytes.len() {
                prop_assert!(Calibration::from_bytes(&bytes[..cut]).is_err());
            }
            let mut flipped = bytes.clone();
            flipped[at] = byte;
            let _ = Calibration::from_bytes(&flipped);
        }
    }
}
