//! Shared by the integration tests: the reference checkpoint and its values.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use maskscope::model::Config;
use maskscope::model::weights::{Source, load, to_f32};
use safetensors::SafeTensors;

/// The folder of the tiny reference checkpoint.
pub fn tiny_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/gpt2-tiny-random")
}

/// The tiny checkpoint's tensors by bare name.
pub fn tensors(config: &Config) -> HashMap<String, Tensor> {
    let source = Source::open(&tiny_folder().join("model.safetensors")).expect("weights open");
    load(config, &[source], &Device::Cpu).expect("weights load").tensors
}

/// Values computed by transformers.
pub struct Reference(Vec<u8>);

impl Reference {
    pub fn open() -> Self {
        Reference(std::fs::read(tiny_folder().join("reference.safetensors")).expect("reference values"))
    }

    pub fn find(&self, name: &str) -> Option<Vec<f32>> {
        let file = SafeTensors::deserialize(&self.0).expect("reference parses");
        let view = file.tensor(name).ok()?;
        to_f32(view.dtype(), view.data())
    }

    pub fn floats(&self, name: &str) -> Vec<f32> {
        self.find(name).unwrap_or_else(|| panic!("reference has {name}"))
    }

    pub fn ids(&self, name: &str) -> Vec<u32> {
        let file = SafeTensors::deserialize(&self.0).expect("reference parses");
        let view = file.tensor(name).expect("reference ids");
        let wide = view.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().expect("8 bytes")));
        wide.map(|i| if i < 0 { u32::MAX } else { i as u32 }).collect()
    }
}

/// Largest absolute difference; panics when the lengths differ.
pub fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "lengths differ");
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
