//! Runs the tests of a file again with every set of kernels: which one a process uses is chosen once.

use std::io::Write;
use std::process::Command;

use maskscope::tensor::kernels::isa::{Isa, OVERRIDE};

/// Runs the other tests of this program with the portable twin of AVX-512 everywhere, and with the sets that the
/// processor has; the absence of one is printed where no test can hide it. `this` is the test that calls.
pub fn on_every_path(this: &str) {
    for (isa, name) in [(Isa::Wide, "wide"), (Isa::Avx2, "avx2"), (Isa::Avx512, "avx512")] {
        if !isa.is_here() {
            let _ = writeln!(std::io::stderr(), "this processor has no {isa:?}: its kernels are not run");
            continue;
        }
        let program = std::env::current_exe().expect("this program");
        let ran = Command::new(program).args(["--skip", this]).env(OVERRIDE, name).output().expect("starts");
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success(), "with {OVERRIDE}={name}:\n{said}");
        assert!(!said.contains("running 0 tests"), "no test ran with {OVERRIDE}={name}");
    }
}
