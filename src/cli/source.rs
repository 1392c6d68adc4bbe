//! Where the text of a command comes from: `--text`, `--text-file` (or `-` for stdin), or `--ids`.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::CliError;

/// Far beyond any context length; a wrong path must not fill the memory.
const LARGEST_TEXT: u64 = 16 << 20;

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
    /// Reads the file where one was named.
    ///
    /// # Errors
    /// A file that cannot be read, is longer than 16 MiB or is not UTF-8.
    pub fn read(&self) -> Result<TextOrIds, CliError> {
        match self {
            SourceArgs { ids: Some(Ids(ids)), .. } => Ok(TextOrIds::Ids(ids.clone())),
            SourceArgs { text: Some(text), .. } => Ok(TextOrIds::Text(text.clone())),
            SourceArgs { text_file: Some(path), .. } => read_file(path).map(TextOrIds::Text),
            _ => Err(CliError::usage("no text given").with_hint("use --text, --text-file or --ids")),
        }
    }
}

pub(super) fn read_file(path: &Path) -> Result<String, CliError> {
    let name = if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() };
    let fail = |error: io::Error| CliError::failed(format!("cannot read {name}: {error}"));
    let mut bytes = Vec::new();
    let reader: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(path).map_err(fail)?)
    };
    reader.take(LARGEST_TEXT + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > LARGEST_TEXT {
        return Err(CliError::failed(format!("{name} is longer than 16 MiB")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        CliError::failed(format!("{name} is not UTF-8 text at byte {at}"))
    })
}

fn ids(text: &str) -> Result<Ids, String> {
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
        parsed.source.read().map_err(|error| error.message)
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
        assert!(source(&["--text-file", "/nowhere/x"]).unwrap_err().starts_with("cannot read /nowhere/x: "));
        std::fs::write(&file, vec![b' '; (16 << 20) + 1]).unwrap();
        assert!(source(&["--text-file", name]).unwrap_err().ends_with("is longer than 16 MiB"));
    }
}
