//! One kernel call as an operator of the tensor library: on a GPU it starts the kernel, on a CPU its plain twin. Neither
//! has a backward; `mod.rs` puts calls together.

use candle_core::{CpuStorage, CustomOp3, DType, InplaceOp3, Layout, Result, Shape, Tensor, bail};

use super::super::host::as_f32;
use super::twin::{self, Arrays, Twin};

/// What a kernel is told besides its arrays; each takes what it needs. As in `kernels.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rules {
    /// Rows of the whole array; in the optimiser's kernels, elements.
    pub rows: i32,
    /// Elements that one block works on.
    pub width: i32,
    pub queries: i32,
    /// Keys that lie before the first query.
    pub start: i32,
    /// 0: no bias.
    pub heads: i32,
    pub causal: i32,
    pub batch_stride: i32,
    pub head_stride: i32,
    pub a: f32,
    pub b: f32,
    pub c: f32,
    pub d: f32,
    pub e: f32,
}

/// A kernel: its name without the number format, and its plain twin.
#[derive(Clone, Copy)]
pub struct Kernel {
    pub name: &'static str,
    pub twin: Twin,
}

macro_rules! kernels {
    ($($constant:ident $name:ident;)*) => {
        $(pub const $constant: Kernel = Kernel { name: stringify!($name), twin: twin::$name };)*
        /// All of them.
        pub const ALL: [Kernel; [$(stringify!($name)),*].len()] = [$($constant),*];
    };
}

kernels! {
    LAYER_NORM layer_norm;
    LAYER_NORM_BACK layer_norm_back;
    LAYER_NORM_SHARE layer_norm_share;
    COLUMN_SUMS column_sums;
    ADD_BIAS add_bias;
    SOFTMAX softmax;
    SOFTMAX_BACK softmax_back;
    DROPOUT dropout;
    GELU gelu;
    GELU_BACK gelu_back;
    ROW_LOSS row_loss;
    ROW_GRADIENT row_gradient;
    FIRST_MOMENT first_moment;
    SECOND_MOMENT second_moment;
    ADAMW adamw;
}

/// One call: `out` is new, or the first argument of an in-place call.
pub struct Call {
    pub kernel: Kernel,
    pub rules: Rules,
    pub blocks: usize,
    pub shape: Shape,
    pub dtype: DType,
}

impl Call {
    /// A new tensor from up to three contiguous ones; what a kernel does not take, it is given `x` for.
    pub fn of(self, x: &Tensor, y: Option<&Tensor>, z: Option<&Tensor>) -> Result<Tensor> {
        let x = x.detach().contiguous()?;
        let whole = |t: Option<&Tensor>| t.map_or_else(|| Ok(x.clone()), |t| t.detach().contiguous());
        x.apply_op3_no_bwd(&whole(y)?, &whole(z)?, &self)
    }

    /// Writes `out`, which must be contiguous, from one or two others.
    pub fn into(self, out: &Tensor, x: &Tensor, y: Option<&Tensor>) -> Result<()> {
        let x = x.detach().contiguous()?;
        let y = y.map_or_else(|| Ok(x.clone()), |t| t.detach().contiguous())?;
        out.inplace_op3(&x, &y, &self)
    }
}

/// `ids` of a storage that holds whole numbers, values of any other.
fn ids(storage: &CpuStorage, layout: &Layout) -> Result<Vec<u32>> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::U32(data), Some((from, to))) => Ok(data[from..to].to_vec()),
        _ => Ok(Vec::new()),
    }
}

fn values(storage: &CpuStorage, layout: &Layout) -> Result<Vec<f32>> {
    match storage {
        CpuStorage::U32(_) => Ok(Vec::new()),
        _ => as_f32(storage, layout),
    }
}

impl CustomOp3 for Call {
    fn name(&self) -> &'static str {
        self.kernel.name
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        y: &CpuStorage,
        ly: &Layout,
        z: &CpuStorage,
        lz: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let mut out = vec![0f32; self.shape.elem_count()];
        let (x, ids, y, z) = (values(x, lx)?, ids(y, ly)?, values(y, ly)?, values(z, lz)?);
        (self.kernel.twin)(&self.rules, Arrays { x: &x, y: &y, z: &z, ids: &ids, out: &mut out });
        let storage = match self.dtype {
            DType::F32 => CpuStorage::F32(out),
            DType::BF16 => CpuStorage::BF16(out.into_iter().map(half::bf16::from_f32).collect()),
            other => bail!("{} does not write {other:?}", self.kernel.name),
        };
        Ok((storage, self.shape.clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &candle_core::CudaStorage,
        lx: &Layout,
        y: &candle_core::CudaStorage,
        ly: &Layout,
        z: &candle_core::CudaStorage,
        lz: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        Ok((super::gpu::new(self, (x, lx), (y, ly), (z, lz))?, self.shape.clone()))
    }
}

impl InplaceOp3 for Call {
    fn name(&self) -> &'static str {
        self.kernel.name
    }

    fn cpu_fwd(
        &self,
        out: &mut CpuStorage,
        lo: &Layout,
        x: &CpuStorage,
        lx: &Layout,
        y: &CpuStorage,
        ly: &Layout,
    ) -> Result<()> {
        let (x, y) = (values(x, lx)?, values(y, ly)?);
        match (out, lo.contiguous_offsets()) {
            (CpuStorage::F32(data), Some((from, to))) => {
                let out = &mut data[from..to];
                (self.kernel.twin)(&self.rules, Arrays { x: &x, y: &y, z: &[], ids: &[], out });
                Ok(())
            }
            _ => bail!("{} writes contiguous f32 only", self.kernel.name),
        }
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        out: &mut candle_core::CudaStorage,
        lo: &Layout,
        x: &candle_core::CudaStorage,
        lx: &Layout,
        y: &candle_core::CudaStorage,
        ly: &Layout,
    ) -> Result<()> {
        super::gpu::write(self, (out, lo), (x, lx), (y, ly))
    }
}
