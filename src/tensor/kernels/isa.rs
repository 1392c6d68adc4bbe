//! Which instructions the hand-written kernels may use: asked of the processor once, or lowered by
//! `MASKSCOPE_KERNELS` (`plain`, `avx2`, `avx512`) to see that every path gives the same numbers.

use std::sync::OnceLock;

/// Instruction sets that a kernel was written for, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Portable Rust that the compiler vectorises as far as the target allows (SSE2, NEON).
    Plain,
    /// AVX2 with fused multiply-add.
    Avx2,
    Avx512,
}

/// Lowers the choice; a set that the processor lacks is never taken.
pub const OVERRIDE: &str = "MASKSCOPE_KERNELS";

fn best() -> Isa {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
            return Isa::Avx512;
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return Isa::Avx2;
        }
    }
    Isa::Plain
}

/// The set in use in this process.
pub fn isa() -> Isa {
    static CHOSEN: OnceLock<Isa> = OnceLock::new();
    *CHOSEN.get_or_init(|| match std::env::var(OVERRIDE).as_deref() {
        Ok("plain") => Isa::Plain,
        Ok("avx2") => best().min(Isa::Avx2),
        _ => best(),
    })
}
