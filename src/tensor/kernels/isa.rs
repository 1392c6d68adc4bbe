//! Which instructions the hand-written kernels use: the fastest of those that the processor has, measured once, or what
//! `MASKSCOPE_KERNELS` says (`plain`, `avx2`, `avx512`, `wide`), to see that every path gives the same numbers.

use std::sync::OnceLock;

/// Instruction sets that a kernel was written for, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Portable Rust that the compiler vectorises as far as the target allows (SSE2, NEON).
    Plain,
    /// The code around the AVX-512 kernels, with registers in portable Rust: for tests on every processor.
    Wide,
    /// AVX2 with fused multiply-add.
    Avx2,
    Avx512,
}

/// Chooses the set; one that the processor lacks is never taken.
pub const OVERRIDE: &str = "MASKSCOPE_KERNELS";

impl Isa {
    /// Whether the processor has every instruction that the kernels of this set are compiled for.
    pub fn is_here(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        let avx2 = || is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        match self {
            Isa::Plain | Isa::Wide => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                avx2() && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 => false,
        }
    }
}

fn best() -> Isa {
    [Isa::Avx512, Isa::Avx2].into_iter().find(|isa| isa.is_here()).unwrap_or(Isa::Plain)
}

/// The set in use in this process.
pub fn isa() -> Isa {
    static CHOSEN: OnceLock<Isa> = OnceLock::new();
    *CHOSEN.get_or_init(|| match std::env::var(OVERRIDE).as_deref() {
        Ok("plain") => Isa::Plain,
        Ok("wide") => Isa::Wide,
        Ok("avx2") => best().min(Isa::Avx2),
        _ => best(),
    })
}
