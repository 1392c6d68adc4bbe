//! CPU kernels on plain slices, row-major f32. Parallel over rows or heads with a fixed order of summation inside
//! each row, so that results do not depend on the number of threads.

pub mod activation;
mod ahead;
pub mod attention;
#[cfg(target_arch = "x86_64")]
mod by_hand;
pub mod exp;
mod gemv;
pub mod head;
pub mod isa;
mod kernel;
mod lanes;
pub mod layer_norm;
pub mod matmul;
mod pack;
pub mod packed;
pub mod peak;
pub mod plain;
pub mod product;
pub mod right;
pub(crate) mod share;
pub mod sums;
mod tile;
mod trial;
#[cfg(target_arch = "x86_64")]
mod x86;

/// Rows that one parallel task handles at least; below it, threads cost more than they bring.
pub(crate) const ROWS_PER_TASK: usize = 8;
