//! `maskscope completions`: the completion script of a shell.

use clap::CommandFactory;
use clap_complete::Shell;
use serde::Serialize;

use super::error::CliError;
use super::output::{JsonFlag, Output};

/// Print the completion script for a shell
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct CompletionsArgs {
    pub shell: Shell,
    #[command(flatten)]
    pub output: JsonFlag,
}

#[derive(Serialize)]
struct Completions {
    shell: String,
    script: String,
}

pub fn run(args: &CompletionsArgs, out: Output) -> Result<(), CliError> {
    let mut bytes = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "maskscope", &mut bytes);
    let script = String::from_utf8(bytes)
        .map_err(|error| CliError::failed(format!("the script is not UTF-8 text: {error}")))?;
    if args.output.json {
        out.json(&Completions { shell: args.shell.to_string(), script })
    } else {
        out.text(&script)
    }
}
