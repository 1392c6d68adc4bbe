//! Which forms of data are read, and which are known not to be text. Folders, messages and the README's rows all go by
//! these tables.

use std::path::Path;

use crate::train::TrainError;

/// How the rows of a file are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    Text,
    Json,
    Comma,
    Tab,
    Parquet,
}

/// A form of data.
#[derive(Clone, Copy, Debug)]
pub struct FileForm {
    pub kind: FileKind,
    /// In lower case, without the dot.
    pub extensions: &'static [&'static str],
    pub doc: &'static str,
}

/// What is read. A file with another extension is read as text when it is named itself, and passed over in a folder.
pub const FORMS: [FileForm; 6] = [
    FileForm {
        kind: FileKind::Text,
        extensions: &["txt", "md"],
        doc: "Documents with blank lines between them; UTF-8, or UTF-16 with a byte order mark; any line ends",
    },
    FileForm {
        kind: FileKind::Json,
        extensions: &["jsonl", "ndjson"],
        doc: "JSON lines: one object a line; a row whose text is missing, null, NaN or blank is left out and counted",
    },
    FileForm {
        kind: FileKind::Json,
        extensions: &["json"],
        doc: "JSON: an array of objects or texts, or an object that holds one, such as {\"data\": […]}",
    },
    FileForm {
        kind: FileKind::Comma,
        extensions: &["csv"],
        doc: "CSV with a header, separated by commas, semicolons, tabs or bars",
    },
    FileForm {
        kind: FileKind::Tab,
        extensions: &["tsv", "tab"],
        doc: "TSV with a header; quoted values may hold line ends",
    },
    FileForm {
        kind: FileKind::Parquet,
        extensions: &["parquet"],
        doc: "Parquet; only the columns in use are read",
    },
];

/// What a document is made of in the forms that have columns.
pub const COLUMNS: [(&str, &str); 4] = [
    ("text", "One text a row; --column names another column, and one that alone holds text needs no name"),
    (
        "messages, conversations",
        "Turns with role and content, or from and value (ShareGPT): one document a conversation, written by the tokenizer's \
         chat template; without one, the turns are joined by the end-of-text token",
    ),
    ("prompt + completion", "A conversation of two turns, of which the completion is the answer"),
    (
        "instruction (+ input) + output",
        "The same, as Alpaca names them; also response or completion. --chat-template alpaca writes Alpaca's own words around \
         them, and --loss-on answers learns the answers alone",
    ),
];

/// A compression that any form may be in; told by content, whatever the name.
#[derive(Clone, Copy, Debug)]
pub struct Packing {
    pub extension: &'static str,
    pub doc: &'static str,
    magic: &'static [u8],
}

pub const GZIP: Packing =
    Packing { extension: "gz", doc: "gzip, of one member or several", magic: b"\x1f\x8b" };
pub const ZSTD: Packing =
    Packing { extension: "zst", doc: "Zstandard, of one frame or several", magic: b"\x28\xb5\x2f\xfd" };
pub const PACKINGS: [Packing; 2] = [GZIP, ZSTD];

impl Packing {
    pub fn packs(&self, head: &[u8]) -> bool {
        head.starts_with(self.magic)
    }
}

/// What a file is that is not data: the bytes it has at an offset, what it is called, and what helps.
const STRANGERS: [(usize, &[u8], &str, &str); 19] = [
    (0, b"%PDF", "a PDF file", "save its text, e.g. with pdftotext"),
    (0, b"PK\x03\x04", "a ZIP archive (or a Word or EPUB file)", "unpack it, or save its text"),
    (0, b"\xd0\xcf\x11\xe0", "an old Office file", "save its text"),
    (0, b"{\\rtf", "an RTF file", "save its text"),
    (0, b"<!doctype html", "an HTML page", "save its text without the markup"),
    (0, b"<html", "an HTML page", "save its text without the markup"),
    (0, b"<?xml", "an XML file", "save its text without the markup"),
    (
        0,
        b"version https://git-lfs",
        "a pointer of Git LFS, not the file itself",
        "fetch it with git lfs pull",
    ),
    (257, b"ustar", "a tar archive", "unpack it and pass the folder"),
    (0, b"BZh", "packed by bzip2", "unpack it, e.g. with bunzip2"),
    (0, b"\xfd7zXZ\0", "packed by xz", "unpack it, e.g. with unxz"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it"),
    (0, b"Rar!", "a RAR archive", "unpack it"),
    (0, b"ARROW1", "an Arrow file", "save it as Parquet or JSON lines"),
    (0, b"\xff\xff\xff\xff", "an Arrow stream", "save it as Parquet or JSON lines"),
    (0, b"SQLite format 3", "an SQLite database", "save a table as CSV"),
    (0, b"\x93NUMPY", "a NumPy array", "save its text"),
    (0, b"\x89PNG", "a picture", "pass text files"),
    (0, b"\xff\xd8\xff", "a picture", "pass text files"),
];

/// The extension that counts, in lower case: `a.jsonl.gz` is `jsonl`.
pub fn extension(path: &Path) -> String {
    let last = |path: &Path| path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    let outer = last(path);
    if PACKINGS.iter().any(|p| p.extension == outer) { last(&path.with_extension("")) } else { outer }
}

/// The form that a file's name says.
pub fn form(path: &Path) -> Option<&'static FileForm> {
    let extension = extension(path);
    FORMS.iter().find(|form| form.extensions.contains(&extension.as_str()))
}

/// The forms in a line, for hints.
pub fn known() -> String {
    let all: Vec<String> = FORMS.iter().flat_map(|f| f.extensions).map(|e| format!(".{e}")).collect();
    let packed: Vec<String> = PACKINGS.iter().map(|p| format!(".{}", p.extension)).collect();
    format!("{}, each also as {}", all.join(", "), packed.join(" or "))
}

/// Whether the values of a file have columns, as far as its name tells.
pub fn has_columns(name: &str) -> bool {
    form(Path::new(name)).is_some_and(|form| form.kind != FileKind::Text)
}

/// Refuses what is known to be something else.
///
/// # Errors
/// What the file is.
pub fn refuse_strangers(name: &str, bytes: &[u8]) -> Result<(), TrainError> {
    // Markup may follow a byte order mark and blank lines.
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let begins =
        |head: &[u8], magic: &[u8]| head.get(..magic.len()).is_some_and(|h| h.eq_ignore_ascii_case(magic));
    let found = STRANGERS.iter().find(|(at, magic, ..)| {
        let markup = magic[0] == b'<' || magic[0] == b'{';
        begins(if markup { text } else { bytes.get(*at..).unwrap_or_default() }, magic)
    });
    match found {
        None => Ok(()),
        Some((_, _, what, hint)) => Err(TrainError::Setup {
            problem: format!("{name} is {what}"),
            hint: Some(format!("{hint}; supported: {}", known())),
        }),
    }
}
