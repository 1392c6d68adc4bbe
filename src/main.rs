//! The binary: hands the command line and the environment to `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    maskscope::tensor::memory::keep();
    // SAFETY: no other thread runs yet.
    unsafe { maskscope::tensor::device::one_pool() };
    maskscope::cli::main(std::env::args_os(), maskscope::config::Env::of_process())
}
