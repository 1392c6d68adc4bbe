//! Where the text of a command comes from: `--text`, `--text-file` (or `-` for stdin), or `--ids`.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::CliError;
use crate::engine::explorer::Explorer;
use crate::support::files::reason;
use crate::support::units;

/// Largest text for a command that takes one of any length; a wrong path must not fill the memory.
const LARGEST_TEXT: u64 = 16 << 20;

/// Largest text that the screen opens.
const LARGEST_ON_SCREEN: u64 = 1 << 20;

/// Bytes of text that are always read, and most bytes that one token is taken to hold: what is longer cannot fit, and is
/// refused before it is read. Tokenising it just to count its tokens would take a hundred times its size.
const ALWAYS_READ: u64 = 64 << 10;
const MOST_PER_TOKEN: u64 = 256;
/// Bytes of a token of English text, for a hint.
const USUAL_PER_TOKEN: u64 = 4;

/// Exactly one of the three.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct SourceArgs {
    /// Text to run on
    #[arg(long)]
    pub text: Option<String>,
    /// File whose text to run on; - is stdin
    #[arg(long, value_name = "FILE")]
    pub text_file: Option<PathBuf>,
    /// Token ids to run on, e.g. 1,2,3
    #[arg(long, value_name = "N,N,…", value_parser = ids)]
    pub ids: Option<Ids>,
}

/// After which token the next one is predicted.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct PositionArg {
    /// Predict what follows this token instead of the last; counted from 0
    #[arg(long, value_name = "N")]
    pub position: Option<usize>,
}

impl PositionArg {
    /// Has the explorer predict there.
    ///
    /// # Errors
    /// A position beyond the text.
    pub fn point(&self, explorer: &mut Explorer) -> Result<(), CliError> {
        let last = explorer.ids.len().saturating_sub(1);
        if let Some(position) = self.position.filter(|i| *i > last) {
            return Err(CliError::usage(format!("position {position} is beyond the last token, {last}")));
        }
        explorer.position = self.position;
        Ok(())
    }
}

/// Token ids, as `--ids` takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ids(pub Vec<u32>);

/// What to run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextOrIds {
    Text(String),
    Ids(Vec<u32>),
}

impl SourceArgs {
    /// Reads the file where one was named, for a model that reads `tokens` tokens.
    ///
    /// # Errors
    /// A file that cannot be read, is far too long for the model (told by its size, before it is read) or is not UTF-8.
    pub fn read(&self, tokens: usize) -> Result<TextOrIds, CliError> {
        match self {
            SourceArgs { ids: Some(Ids(ids)), .. } => Ok(TextOrIds::Ids(ids.clone())),
            SourceArgs { text: Some(text), .. } => Ok(TextOrIds::Text(text.clone())),
            SourceArgs { text_file: Some(path), .. } => {
                read_within(path, &TextLimit::of_model(tokens)).map(TextOrIds::Text)
            }
            _ => Err(CliError::usage("no text given").with_hint("use --text, --text-file or --ids")),
        }
    }
}

/// How much text is read, and what is said of more.
struct TextLimit {
    bytes: u64,
    /// What takes no more, to follow "more text than".
    reader: String,
    hint: String,
}

impl TextLimit {
    fn of_model(tokens: usize) -> Self {
        let tokens = tokens as u64;
        let usual = tokens.saturating_mul(USUAL_PER_TOKEN);
        TextLimit {
            bytes: tokens.saturating_mul(MOST_PER_TOKEN).clamp(ALWAYS_READ, LARGEST_TEXT),
            reader: format!("fits into {tokens} tokens (about {} of English)", units::bytes(usual)),
            hint: format!(
                "cut it, e.g. with head -c {usual}; maskscope eval reads long texts, window by window"
            ),
        }
    }

    fn check(&self, name: &str, size: u64, more: bool) -> Result<(), CliError> {
        if size <= self.bytes {
            return Ok(());
        }
        let size = if more { "more".to_owned() } else { format!("{}, more", units::bytes(size)) };
        let problem = format!("{name} has {size} text than {}", self.reader);
        Err(CliError::failed(problem).with_hint(self.hint.clone()))
    }
}

/// A text for the screen, which reads it again on every keystroke.
///
/// # Errors
/// As [`read_file`], from 1 MiB on.
pub(super) fn read_for_screen(path: &Path) -> Result<String, CliError> {
    let reader = format!("the screen opens ({})", units::bytes(LARGEST_ON_SCREEN));
    let hint = "name a part of it; maskscope eval reads long texts, window by window".to_owned();
    read_within(path, &TextLimit { bytes: LARGEST_ON_SCREEN, reader, hint })
}

/// A text of any length up to [`LARGEST_TEXT`].
///
/// # Errors
/// A file that cannot be read, is larger (told before it is read) or is not UTF-8.
pub(super) fn read_file(path: &Path) -> Result<String, CliError> {
    let reader = format!("a command reads at once ({})", units::bytes(LARGEST_TEXT));
    read_within(path, &TextLimit { bytes: LARGEST_TEXT, reader, hint: "pass a part of it".to_owned() })
}

fn read_within(path: &Path, limit: &TextLimit) -> Result<String, CliError> {
    let name = if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() };
    let fail = |error: io::Error| CliError::failed(format!("cannot read {name}: {}", reason(&error)));
    let mut bytes = Vec::new();
    let reader: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file = std::fs::File::open(path).map_err(fail)?;
        let about = file.metadata().map_err(fail)?;
        if about.is_file() {
            limit.check(&name, about.len(), false)?;
        }
        Box::new(file)
    };
    // A pipe tells no size, and a file may grow.
    let read = reader.take(limit.bytes + 1).read_to_end(&mut bytes).map_err(fail)?;
    limit.check(&name, read as u64, true)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        CliError::failed(format!("{name} is not UTF-8 text at byte {at}"))
    })
}

pub(super) fn ids(text: &str) -> Result<Ids, String> {
    let parsed: Result<Vec<u32>, _> = text.split(',').map(|id| id.trim().parse()).collect();
    parsed.map(Ids).map_err(|_| "must be whole numbers separated by commas".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Wrapped {
        #[command(flatten)]
        source: SourceArgs,
    }

    fn source(args: &[&str]) -> Result<TextOrIds, String> {
        let args = std::iter::once("x").chain(args.iter().copied());
        let parsed = Wrapped::try_parse_from(args).map_err(|error| error.to_string())?;
        parsed.source.read(1024).map_err(|error| error.message)
    }

    #[test]
    fn exactly_one_source() {
        assert_eq!(source(&["--text", "hi"]), Ok(TextOrIds::Text("hi".into())));
        assert_eq!(source(&["--ids", "1, 2,3"]), Ok(TextOrIds::Ids(vec![1, 2, 3])));
        assert!(source(&[]).is_err());
        assert!(source(&["--text", "hi", "--ids", "1"]).is_err());
        for bad in ["", "1,", "-1", "1;2", "4294967296"] {
            assert!(source(&["--ids", bad]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn files_are_read_and_refused_with_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("text");
        let name = file.to_str().unwrap();
        std::fs::write(&file, "héllo\n").unwrap();
        assert_eq!(source(&["--text-file", name]), Ok(TextOrIds::Text("héllo\n".into())));
        std::fs::write(&file, b"ab\xff").unwrap();
        assert!(source(&["--text-file", name]).unwrap_err().ends_with("is not UTF-8 text at byte 2"));
        assert!(
            source(&["--text-file", "/nowhere/x"])
                .unwrap_err()
                .starts_with("cannot read /nowhere/x: no such file")
        );
    }

    #[test]
    fn a_file_is_judged_by_its_size_before_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        let name = path.to_str().unwrap();
        // Ten gigabytes that take no room on the disk.
        std::fs::File::create(&path).unwrap().set_len(10_000_000_000).unwrap();
        let said = source(&["--text-file", name]).unwrap_err();
        let told = "has 10.0 GB, more text than fits into 1024 tokens (about 4.1 kB of English)";
        assert!(said.ends_with(told), "{said}");
        let said = read_file(&path).unwrap_err();
        assert!(
            said.message.ends_with("has 10.0 GB, more text than a command reads at once (16.8 MB)"),
            "{said}"
        );
        std::fs::write(&path, vec![b' '; 1024 * 256]).unwrap();
        assert!(source(&["--text-file", name]).is_ok());
        std::fs::write(&path, vec![b' '; 1024 * 256 + 1]).unwrap();
        assert!(source(&["--text-file", name]).is_err());
        assert_eq!(TextLimit::of_model(8).bytes, ALWAYS_READ);
        assert_eq!(TextLimit::of_model(usize::MAX).bytes, LARGEST_TEXT);
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_without_an_end_is_read_to_the_limit() {
        let said = source(&["--text-file", "/dev/zero"]).unwrap_err();
        assert!(said.starts_with("/dev/zero has more text than fits into 1024 tokens"), "{said}");
    }
}
