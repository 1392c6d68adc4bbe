//! A weight matrix of the model: a tensor where it may change or lives on a device, packed for the products of the CPU where
//! it never changes.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor, bail};

use crate::tensor::embedding;
use crate::tensor::host::{self, Held};
use crate::tensor::kernels::packed::Packed;
use crate::tensor::kernels::right::Right;

/// A `[rows, cols]` matrix, `f32` or `bf16`. Cloning shares it.
#[derive(Clone)]
pub enum Weight {
    Tensor(Tensor),
    Packed(Arc<Packed>, Side),
}

/// How a product uses a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `x W`: a projection, `[in, out]`.
    Rows,
    /// `x Wᵀ`: the output matrix, `[V, D]`.
    Columns,
}

impl From<Tensor> for Weight {
    fn from(tensor: Tensor) -> Self {
        Weight::Tensor(tensor)
    }
}

impl Weight {
    /// The matrix as a tensor: shared, or put together again (f32) where it is packed.
    ///
    /// # Errors
    /// Of the tensor library.
    pub fn tensor(&self) -> Result<Tensor> {
        match self {
            Weight::Tensor(tensor) => Ok(tensor.clone()),
            Weight::Packed(..) => {
                let (rows, cols) = self.dims()?;
                let mut values = crate::tensor::memory::room(rows * cols);
                self.visit(|part| values.extend_from_slice(part))?;
                Tensor::from_vec(values, (rows, cols), &Device::Cpu)
            }
        }
    }

    /// Rows and columns.
    ///
    /// # Errors
    /// A tensor that is not a matrix.
    pub fn dims(&self) -> Result<(usize, usize)> {
        match self {
            Weight::Tensor(tensor) => tensor.dims2(),
            Weight::Packed(packed, Side::Rows) => Ok((packed.depth(), packed.cols())),
            Weight::Packed(packed, Side::Columns) => Ok((packed.cols(), packed.depth())),
        }
    }

    /// Whether its numbers are kept in 16 bits.
    pub fn is_bf16(&self) -> bool {
        match self {
            Weight::Tensor(tensor) => tensor.dtype() == DType::BF16,
            Weight::Packed(packed, _) => packed.is_bf16(),
        }
    }

    /// Puts what `f` makes of the tensor in its place.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn change(&mut self, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<()> {
        *self = Weight::Tensor(f(&self.tensor()?)?);
        Ok(())
    }

    /// The same numbers, which no gradient reaches.
    #[must_use]
    pub fn detach(&self) -> Self {
        match self {
            Weight::Tensor(tensor) => Weight::Tensor(tensor.detach()),
            Weight::Packed(..) => self.clone(),
        }
    }

    /// The matrix packed for products of the CPU, which it must live on; the tensor goes with its last holder.
    ///
    /// # Errors
    /// A tensor that is not a contiguous matrix of f32 or bf16 in host memory.
    pub fn packed(self, side: Side) -> Result<Self> {
        let Weight::Tensor(tensor) = &self else { return Ok(self) };
        let (rows, cols) = tensor.dims2()?;
        let held = host::hold(tensor)?;
        let numbers = held.numbers()?;
        let packed = match side {
            Side::Rows => Packed::new(numbers.rows(cols), (rows, cols)),
            Side::Columns => Packed::new(numbers.transposed(cols), (cols, rows)),
        };
        Ok(Weight::Packed(Arc::new(packed), side))
    }

    /// The matrix with its numbers rounded to bf16.
    ///
    /// # Errors
    /// A device that does not convert.
    pub fn rounded(&self) -> Result<Self> {
        Ok(match self {
            Weight::Tensor(tensor) => Weight::Tensor(tensor.to_dtype(DType::BF16)?),
            Weight::Packed(packed, side) => Weight::Packed(Arc::new(packed.rounded()), *side),
        })
    }

    /// Calls `f` with all numbers as f32, row-major, one stretch after another.
    ///
    /// # Errors
    /// Of a device.
    pub fn visit(&self, mut f: impl FnMut(&[f32])) -> Result<()> {
        let Weight::Packed(packed, side) = self else { return host::with_slice(&self.tensor()?, f) };
        let (rows, cols) = self.dims()?;
        let mut row = vec![0f32; cols];
        for r in 0..rows {
            match side {
                Side::Rows => packed.row(r, &mut row),
                Side::Columns => packed.column(r, &mut row),
            }
            f(&row);
        }
        Ok(())
    }

    /// Rows `ids` (embeddings), `[n, cols]`, differentiable where the matrix is.
    ///
    /// # Errors
    /// A row that does not exist.
    pub fn select(&self, ids: &[u32]) -> Result<Tensor> {
        let (rows, cols) = self.dims()?;
        let (packed, side) = match self {
            Weight::Tensor(tensor) => return embedding::select(tensor, ids),
            Weight::Packed(packed, side) => (packed, side),
        };
        let mut values = vec![0f32; ids.len() * cols];
        for (&id, row) in ids.iter().zip(values.chunks_exact_mut(cols)) {
            if id as usize >= rows {
                bail!("there is no row {id} in a matrix of {rows}");
            }
            match side {
                Side::Rows => packed.row(id as usize, row),
                Side::Columns => packed.column(id as usize, row),
            }
        }
        Tensor::from_vec(values, (ids.len(), cols), &Device::Cpu)
    }

    /// Lends the matrix to a product of the CPU.
    ///
    /// # Errors
    /// A tensor elsewhere, or one that is not contiguous.
    pub(super) fn lend(&self) -> Result<Lent<'_>> {
        Ok(match self {
            Weight::Tensor(tensor) => Lent::Held(host::hold(tensor)?, tensor.dims2()?.1),
            Weight::Packed(packed, side) => Lent::Packed(packed, *side),
        })
    }
}

/// A weight lent to a product of the CPU.
pub(super) enum Lent<'a> {
    /// With its columns.
    Held(Held<'a>, usize),
    Packed(&'a Packed, Side),
}

impl Lent<'_> {
    /// The right side that the matrix is when used as `side` says.
    ///
    /// # Errors
    /// A matrix packed for the other side, or numbers that are neither f32 nor bf16.
    pub fn right(&self, side: Side) -> Result<Right<'_>> {
        match self {
            Lent::Held(held, cols) => Ok(match side {
                Side::Rows => held.numbers()?.rows(*cols).into(),
                Side::Columns => held.numbers()?.transposed(*cols).into(),
            }),
            Lent::Packed(packed, known) if *known == side => Ok(Right::Packed(packed)),
            Lent::Packed(..) => bail!("this weight is packed for another product"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: usize, cols: usize) -> Tensor {
        let values: Vec<f32> = (0..rows * cols).map(|i| i as f32).collect();
        Tensor::from_vec(values, (rows, cols), &Device::Cpu).unwrap()
    }

    #[test]
    fn a_packed_weight_holds_what_its_tensor_held() {
        for (rows, cols) in [(1, 1), (7, 5), (20, 97), (200, 96), (395, 333)] {
            let tensor = matrix(rows, cols);
            let plain = Weight::from(tensor.clone());
            for side in [Side::Rows, Side::Columns] {
                let packed = plain.clone().packed(side).unwrap();
                assert_eq!(packed.dims().unwrap(), (rows, cols));
                let back = packed.tensor().unwrap();
                assert_eq!(host::values(&back).unwrap(), host::values(&tensor).unwrap(), "{rows} x {cols}");
                let ids = [rows as u32 - 1, 0, rows as u32 / 2];
                let (a, b) = (packed.select(&ids).unwrap(), plain.select(&ids).unwrap());
                assert_eq!(host::values(&a).unwrap(), host::values(&b).unwrap());
                assert!(packed.select(&[rows as u32]).is_err());
                let (a, b) = (packed.rounded().unwrap(), plain.rounded().unwrap());
                let values = |w: &Weight| host::values(&w.tensor().unwrap()).unwrap();
                assert!(a.is_bf16() && values(&a) == values(&b));
            }
        }
    }

    #[test]
    fn a_weight_packed_for_one_product_refuses_another() {
        let packed = Weight::from(matrix(4, 3)).packed(Side::Columns).unwrap();
        let lent = packed.lend().unwrap();
        assert!(lent.right(Side::Columns).is_ok() && lent.right(Side::Rows).is_err());
    }
}
