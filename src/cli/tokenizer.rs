//! `maskscope tokenizer train`: a byte-level BPE learned from files, for models from scratch.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use super::error::CliError;
use super::flags::{FlagSet, ParameterFlags, whole};
use super::output::{JsonFlag, note};
use super::{CommandContext, convert, open};
use crate::config::FlagValue;
use crate::engine::types::LoadProgress;
use crate::model::tokenizer::END_OF_TEXT;
use crate::support::units::{bytes, count};
use crate::train::data::{ChatStyle, Corpus, Documents, SourceText};
use crate::train::init;
use crate::train::spec::DataSpec;

/// Flags that mirror parameters.
#[derive(Clone, Copy, Debug)]
pub struct Flags;

impl FlagSet for Flags {
    const FLAGS: &'static [(&'static str, &'static str)] =
        &[("offline", "hub.offline"), ("threads", "compute.threads_trainer")];
}

/// Learn a tokenizer
#[derive(Clone, Debug, clap::Args)]
pub struct TokenizerArgs {
    #[command(subcommand)]
    pub action: TokenizerCommand,
}

impl TokenizerArgs {
    /// Parameters that were given.
    pub fn parameters(&self) -> &[FlagValue] {
        let TokenizerCommand::Train(args) = &self.action;
        args.parameters.values()
    }
}

/// What to do with one.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum TokenizerCommand {
    /// Learn a byte-level BPE, as GPT-2 has one, from texts; train --init CONFIG.JSON --tokenizer DIR uses it, and so does
    /// Python's AutoTokenizer.from_pretrained
    Train(TokenizerTrainArgs),
}

/// `maskscope tokenizer train`
#[derive(Clone, Debug, clap::Args)]
pub struct TokenizerTrainArgs {
    /// Files or folders in any form that train reads, datasets/owner/name, or passages
    #[arg(required = true, num_args = 1.., value_name = "FILE")]
    pub data: Vec<PathBuf>,
    /// Ids that it may have: 256 bytes, the end-of-text token, and pieces that were learned
    #[arg(long, value_name = "N", default_value = "8192", value_parser = whole::<usize>(257, 1_000_000))]
    pub vocab_size: usize,
    /// Folder for tokenizer.json and tokenizer_config.json
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Column that holds the text, or the conversations, in tables and JSON
    #[arg(long, value_name = "NAME")]
    pub column: Option<String>,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}

/// Runs the command.
///
/// # Errors
/// Data that cannot be read, a folder that holds a tokenizer already or cannot be written.
pub fn run(args: &TokenizerArgs, context: &CommandContext) -> Result<(), CliError> {
    let TokenizerCommand::Train(args) = &args.action;
    let out = &args.out;
    if out.join(init::TOKENIZER).exists() {
        return Err(CliError::failed(format!("{} already contains a tokenizer", out.display()))
            .with_hint("choose another --out folder"));
    }
    let bar = open::bar();
    let data = DataSpec { train: args.data.clone(), column: args.column.clone(), ..DataSpec::default() };
    let mut fetching = |p: &crate::hub::FetchProgress| {
        open::advance(&bar, &crate::engine::loader::translate("data", p));
    };
    let style = ChatStyle::plain(END_OF_TEXT);
    let hub = convert::hub_options(context);
    let read = Documents::open(&data, &style, &hub, &mut fetching, &AtomicBool::new(false));
    let Documents { train: documents, notes, .. } = read.inspect_err(|_| bar.finish_and_clear())?;
    open::advance(&bar, &LoadProgress::new("tokenizer", "learning"));
    let learned = init::tokenizer(&documents, args.vocab_size);
    bar.finish_and_clear();
    let tokenizer = learned?;
    init::save_tokenizer(out, &tokenizer)?;
    notes.iter().for_each(|text| note(&format!("note: {text}")));
    let size: usize = documents.iter().map(SourceText::counted_bytes).sum();
    let tokens = Corpus::new(&documents, &tokenizer)?.tokens.len() - documents.len();
    let (ids, each) = (tokenizer.vocab_size(), size as f64 / tokens.max(1) as f64);
    if args.output.json {
        return context.out.json(&serde_json::json!({
            "out": out.display().to_string(),
            "ids": ids,
            "documents": documents.len(),
            "bytes": size,
            "tokens": tokens,
            "bytes_per_token": each,
        }));
    }
    let fewer = match ids < args.vocab_size {
        true => {
            format!(": the text has no more pieces to learn than these, of {} asked for", args.vocab_size)
        }
        false => String::new(),
    };
    context.out.text(&format!(
        "{ids} ids learned from {} documents ({}){fewer}\n{} tokens, {each:.2} bytes each\nsaved: {}\n",
        documents.len(),
        bytes(size as u64),
        count(tokens),
        out.display()
    ))
}
