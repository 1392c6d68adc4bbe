//! Fused operators as candle custom ops with a backward, their CPU kernels, thread pools and device choice.
//! Knows nothing of models. Every fast kernel has a plain twin in `kernels::plain` and a test that compares them.

pub mod adamw;
pub mod attention;
pub mod cross_entropy;
pub mod device;
pub mod dropout;
pub mod embedding;
pub mod fused;
pub mod gradients;
pub mod host;
pub mod kernels;
pub mod linear;
pub mod memory;
pub mod meter;
pub mod ops;
pub mod priority;
pub mod rows;
