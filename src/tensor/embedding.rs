//! Rows of a table, whose gradients are added row by row to the table's sum: a step touches the rows it read, not the
//! whole table.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::device::{Way, way};
use super::gradients::add_to;
use super::host::{slice, with_slice};

struct Select {
    at: Vec<u32>,
}

impl CustomOp1 for Select {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(&self, table: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        let table = slice(table, layout, self.name())?;
        let mut out = Vec::with_capacity(self.at.len() * width);
        for &at in &self.at {
            if at as usize >= rows {
                bail!("there is no row {at} in a table of {rows}");
            }
            out.extend_from_slice(&table[at as usize * width..][..width]);
        }
        Ok((CpuStorage::F32(out), Shape::from((self.at.len(), width))))
    }

    fn bwd(&self, table: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        with_slice(grad, |rows| add_to(table, |sum| sum.add_rows(&self.at, rows)))??;
        Ok(None)
    }
}

/// Rows `at` of `table` `[rows, width]`, `[at.len(), width]`, differentiable; where the table is a variable on the CPU, by
/// [`super::gradients`].
///
/// # Errors
/// A row that does not exist.
pub fn select(table: &Tensor, at: &[u32]) -> Result<Tensor> {
    if way(table.device()) == Way::Host && table.is_variable() {
        return table.apply_op1(Select { at: at.to_vec() });
    }
    table.index_select(&Tensor::from_slice(at, at.len(), table.device())?, 0)
}
