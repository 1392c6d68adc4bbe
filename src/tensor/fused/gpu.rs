//! Starts the kernels on a GPU.

use candle_core::cuda_backend::cudarc::driver::{
    CudaView, CudaViewMut, DeviceRepr, LaunchConfig, PushKernelArg,
};
use candle_core::cuda_backend::{CudaDevice, CudaStorageSlice, WrapErr};
use candle_core::{CudaStorage, DType, Layout, Result, bail};
use half::bf16;

use super::launch::{Call, Rules};

// `KERNELS`, the code of every kernel.
include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// Threads of a block; `WIDTH` of `kernels.cu`.
const WIDTH: u32 = 128;

// SAFETY: plain numbers in the order and with the alignment of the struct of the same name in `kernels.cu`.
unsafe impl DeviceRepr for Rules {}

/// An argument's contiguous elements on the device.
enum View<'a> {
    F32(CudaView<'a, f32>),
    Bf16(CudaView<'a, bf16>),
    U32(CudaView<'a, u32>),
}

impl<'a> View<'a> {
    fn of((storage, layout): (&'a CudaStorage, &Layout)) -> Result<Self> {
        let Some((from, to)) = layout.contiguous_offsets() else {
            bail!("a kernel needs contiguous arguments")
        };
        Ok(match &storage.slice {
            CudaStorageSlice::F32(data) => View::F32(data.slice(from..to)),
            CudaStorageSlice::BF16(data) => View::Bf16(data.slice(from..to)),
            CudaStorageSlice::U32(data) => View::U32(data.slice(from..to)),
            _ => bail!("kernels take f32, bf16 and u32"),
        })
    }
}

/// What a kernel writes.
enum Out<'a> {
    F32(CudaViewMut<'a, f32>),
    Bf16(CudaViewMut<'a, bf16>),
}

/// Queues `call` on the program's stream.
fn start(call: &Call, device: &CudaDevice, views: &[View; 3], out: &mut Out) -> Result<()> {
    let suffix = match views[0] {
        View::F32(_) => "f32",
        View::Bf16(_) => "bf16",
        View::U32(_) => bail!("no kernel takes whole numbers first"),
    };
    let name = format!("{}_{suffix}", call.kernel.name);
    let function = device.get_or_load_custom_func(&name, "maskscope", KERNELS)?.into_cuda_function();
    let stream = device.cuda_stream();
    let mut args = stream.launch_builder(&function);
    for view in views {
        match view {
            View::F32(view) => args.arg(view),
            View::Bf16(view) => args.arg(view),
            View::U32(view) => args.arg(view),
        };
    }
    match out {
        Out::F32(view) => args.arg(view),
        Out::Bf16(view) => args.arg(view),
    };
    args.arg(&call.rules);
    let config =
        LaunchConfig { grid_dim: (call.blocks as u32, 1, 1), block_dim: (WIDTH, 1, 1), shared_mem_bytes: 0 };
    // SAFETY: the arguments are those of the kernel's signature, and `mod.rs`, which makes the calls, gives every array
    // the length that the kernel's rules imply; the same calls run against the plain twins in tests.
    unsafe { args.launch(config) }.w()?;
    Ok(())
}

/// Runs `call` into new memory.
pub fn new(
    call: &Call,
    x: (&CudaStorage, &Layout),
    y: (&CudaStorage, &Layout),
    z: (&CudaStorage, &Layout),
) -> Result<CudaStorage> {
    let device = x.0.device.clone();
    let views = [View::of(x)?, View::of(y)?, View::of(z)?];
    let n = call.shape.elem_count();
    match call.dtype {
        DType::F32 => {
            // SAFETY: the kernel writes every element before anything reads one.
            let mut out = unsafe { device.alloc::<f32>(n) }?;
            start(call, &device, &views, &mut Out::F32(out.slice_mut(..)))?;
            Ok(CudaStorage::wrap_cuda_slice(out, device))
        }
        DType::BF16 => {
            // SAFETY: as above.
            let mut out = unsafe { device.alloc::<bf16>(n) }?;
            start(call, &device, &views, &mut Out::Bf16(out.slice_mut(..)))?;
            Ok(CudaStorage::wrap_cuda_slice(out, device))
        }
        other => bail!("{} does not write {other:?}", call.kernel.name),
    }
}

/// Runs `call` over what is there.
pub fn write(
    call: &Call,
    (out, layout): (&mut CudaStorage, &Layout),
    x: (&CudaStorage, &Layout),
    y: (&CudaStorage, &Layout),
) -> Result<()> {
    let device = x.0.device.clone();
    // Kernels that write in place take two arrays.
    let views = [View::of(x)?, View::of(y)?, View::of(x)?];
    match (&mut out.slice, layout.contiguous_offsets()) {
        (CudaStorageSlice::F32(data), Some((from, to))) => {
            start(call, &device, &views, &mut Out::F32(data.slice_mut(from..to)))
        }
        _ => bail!("{} writes contiguous f32 only", call.kernel.name),
    }
}
