//! The binary: hands the command line and the environment to `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    maskscope::tensor::memory::keep();
    maskscope::cli::main(std::env::args_os(), maskscope::config::Env::of_process())
}
