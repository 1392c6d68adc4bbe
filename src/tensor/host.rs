//! Host views of tensors: borrowed where the tensor already lies contiguous in CPU memory, copied otherwise.

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor, bail};

use super::kernels::right::Numbers;

/// The contiguous f32 slice that a custom op's argument stands for.
pub(crate) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout, op: &str) -> Result<&'a [f32]> {
    let data = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&data[from..to]),
        None => bail!("{op} needs a contiguous argument"),
    }
}

/// The contiguous values that a custom op's argument stands for, widened to f32.
pub(crate) fn as_f32(storage: &CpuStorage, layout: &Layout) -> Result<Vec<f32>> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(data), Some((from, to))) => Ok(data[from..to].to_vec()),
        (CpuStorage::BF16(data), Some((from, to))) => Ok(data[from..to].iter().map(|x| x.to_f32()).collect()),
        _ => bail!("a kernel needs contiguous arguments in f32 or bf16"),
    }
}

/// A CPU tensor's contiguous values, borrowed for as long as this lives.
pub(crate) struct Held<'a> {
    storage: Box<dyn std::ops::Deref<Target = Storage> + 'a>,
    range: std::ops::Range<usize>,
}

/// Holds a tensor's values.
///
/// # Errors
/// A tensor on another device, or one that is not contiguous.
pub(crate) fn hold(tensor: &Tensor) -> Result<Held<'_>> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(_), Some((from, to))) => Ok(Held { storage: Box::new(storage), range: from..to }),
        _ => bail!("a CPU kernel needs a contiguous tensor in host memory"),
    }
}

impl Held<'_> {
    /// f32 values.
    pub fn floats(&self) -> Result<&[f32]> {
        match &**self.storage {
            Storage::Cpu(CpuStorage::F32(data)) => Ok(&data[self.range.clone()]),
            _ => bail!("a CPU kernel needs f32 values here"),
        }
    }

    /// f32 or bf16 values.
    pub fn numbers(&self) -> Result<Numbers<'_>> {
        match &**self.storage {
            Storage::Cpu(CpuStorage::F32(data)) => Ok(Numbers::F32(&data[self.range.clone()])),
            Storage::Cpu(CpuStorage::BF16(data)) => {
                Ok(Numbers::Bf16(bytemuck::cast_slice(&data[self.range.clone()])))
            }
            _ => bail!("a CPU kernel needs f32 or bf16 weights"),
        }
    }
}

/// Calls `f` with the tensor's values, row-major.
pub fn with_slice<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    if tensor.dtype() == DType::F32 {
        let (storage, layout) = tensor.storage_and_layout();
        if let (Storage::Cpu(cpu), Some((from, to))) = (&*storage, layout.contiguous_offsets()) {
            return Ok(f(&cpu.as_slice::<f32>()?[from..to]));
        }
    }
    let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    Ok(f(&values))
}

/// The tensor's values, row-major, on the host.
pub fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    with_slice(tensor, <[f32]>::to_vec)
}
