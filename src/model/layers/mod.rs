//! What families build their blocks of: layer norms, projections with their adapters, dropout. Each layer computes on tensors
//! of any device, and on plain slices of the CPU with its way back written out.

pub mod dropout;
pub mod norm;
pub mod projection;

pub use dropout::Dropout;
pub use norm::LayerNorm;
pub use projection::{LowRank, Projection};
