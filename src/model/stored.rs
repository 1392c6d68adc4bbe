//! Where a trace keeps the rows of a layer: growing host memory on the CPU, tensors on other devices.

use std::sync::{Arc, OnceLock};

use candle_core::{Device, Result, Tensor};

use crate::tensor::host;
use crate::tensor::rows::{Rows, copy_to};

/// A `[n, width]` matrix of a trace.
#[derive(Clone)]
pub enum Stored {
    Host(Rows, usize),
    /// On its device, with the copy in host memory once somebody looked: every map and score of a layer reads it.
    Device(Tensor, Arc<OnceLock<Vec<f32>>>),
}

impl Stored {
    /// Kept on its device.
    pub fn device(tensor: Tensor) -> Self {
        Stored::Device(tensor, Arc::default())
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Stored::Host(rows, _) => rows.len(),
            Stored::Device(tensor, _) => tensor.dim(0).unwrap_or(0),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of values.
    pub fn elem_count(&self) -> usize {
        match self {
            Stored::Host(rows, _) => rows.values().len(),
            Stored::Device(tensor, _) => tensor.elem_count(),
        }
    }

    /// Calls `f` with the values, row-major.
    pub fn with_slice<R>(&self, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
        match self {
            Stored::Host(rows, _) => Ok(f(rows.values())),
            Stored::Device(tensor, _) if tensor.device().is_cpu() => host::with_slice(tensor, f),
            Stored::Device(tensor, copy) => {
                if let Some(values) = copy.get() {
                    return Ok(f(values));
                }
                let values = host::values(tensor)?;
                Ok(f(copy.get_or_init(|| values)))
            }
        }
    }

    /// As a tensor; a copy where the rows lie in host memory.
    pub fn tensor(&self) -> Result<Tensor> {
        match self {
            Stored::Host(rows, width) => {
                Tensor::from_slice(rows.values(), (rows.len(), *width), &Device::Cpu)
            }
            Stored::Device(tensor, _) => Ok(tensor.clone()),
        }
    }

    /// Some of its rows, in memory of their own: what is left out is given back once nobody else holds it.
    pub(super) fn select(&self, rows: &[usize]) -> Result<Stored> {
        match self {
            Stored::Host(all, width) => {
                let some: Vec<f32> =
                    rows.iter().flat_map(|&r| &all.values()[r * width..(r + 1) * width]).copied().collect();
                // SAFETY: a copy writes every element.
                let some = unsafe { Rows::empty(*width).grow(0, rows.len(), |to| copy_to(to, &some)) };
                Ok(Stored::Host(some, *width))
            }
            Stored::Device(tensor, _) => Ok(Stored::device(rows_of(tensor, rows)?)),
        }
    }

    /// The rows to grow from; a copy where they are a tensor.
    pub(super) fn rows(&self, width: usize) -> Result<Rows> {
        match self {
            Stored::Host(rows, _) => Ok(rows.clone()),
            Stored::Device(tensor, _) => {
                let n = tensor.dim(0)?;
                // SAFETY: a copy writes every element.
                host::with_slice(tensor, |v| unsafe { Rows::empty(width).grow(0, n, |to| copy_to(to, v)) })
            }
        }
    }
}

/// Rows of a `[n, …]` tensor.
pub(super) fn rows_of(tensor: &Tensor, rows: &[usize]) -> Result<Tensor> {
    let index: Vec<u32> = rows.iter().map(|&r| r as u32).collect();
    tensor.index_select(&Tensor::from_vec(index, rows.len(), tensor.device())?, 0)
}
