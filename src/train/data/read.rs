//! Files to documents, with counts of what was left out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::chat::ChatStyle;
use super::document::TextDocument;
use super::file::{self, TextRoom};
use super::forms::{self, FileKind};
use super::rows::{self, ColumnTypes, Pick, RowOutcome};
use super::{json, table};
use crate::train::TrainError;

/// The name that stands for the bundled text: passages of novels that the bundled model was trained on and of State of the
/// Union addresses (`assets/calibration.txt`, about 130 KB). Enough to try a run; too little to train a model on.
pub const BUNDLED: &str = "passages";
/// Its name before.
const BUNDLED_WAS: &str = "novels";

/// Whether `data` names the bundled text.
pub fn is_bundled(data: &str) -> bool {
    [BUNDLED, BUNDLED_WAS].contains(&data)
}

static BUNDLED_TEXT: &str = include_str!("../../../assets/calibration.txt");

/// How data is read.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions<'a> {
    /// Column that holds the text; `None` takes the usual one.
    pub column: Option<&'a str>,
    pub style: &'a ChatStyle,
    /// Free memory in bytes, within which all of it must be prepared.
    pub memory: u64,
}

/// Documents, and what else was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub documents: Vec<TextDocument>,
    pub account: Account,
}

/// What was left out, and what a person should know of the reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Rows whose text is missing, null or blank.
    pub without_text: usize,
    /// Rows whose label is, where labels are read.
    pub without_label: usize,
    /// Conversations that the chat template refuses, and its first reason.
    pub refused: usize,
    pub reason: Option<String>,
    /// Conversations without an answer, where the loss is on answers.
    pub without_answer: usize,
    /// Documents that were conversations, and the columns that they came from.
    pub conversations: usize,
    pub columns: Vec<String>,
    /// Files of folders that hold no text, and files of no known form.
    pub empty_files: usize,
    pub other_files: usize,
    /// Sentences on single files.
    pub notes: Vec<String>,
}

impl Account {
    /// A sentence for everything that is not as a person may expect.
    pub fn sentences(&self, style: &ChatStyle) -> Vec<String> {
        let count = |n: usize, one: &str, many: &str| match n {
            1 => format!("1 {one} was left out"),
            n => format!("{n} {many} were left out"),
        };
        let mut out = self.notes.clone();
        if self.conversations > 0 {
            let from = match &self.columns[..] {
                [] => String::new(),
                columns => format!(" ({})", columns.join(" + ")),
            };
            let (name, loss) = (style.name(), style.loss());
            out.push(format!("{} conversations{from}, {name}; {loss}", self.conversations));
        }
        if self.without_text > 0 {
            out.push(count(self.without_text, "row without text", "rows without text"));
        }
        if self.without_label > 0 {
            out.push(count(self.without_label, "row without label", "rows without label"));
        }
        if self.without_answer > 0 {
            let (one, many) = ("conversation without an answer", "conversations without an answer");
            out.push(count(self.without_answer, one, many));
        }
        if self.refused > 0 {
            let reason = self.reason.as_deref().unwrap_or_default();
            let left = count(self.refused, "conversation", "conversations");
            out.push(format!("{left}, since the chat template refuses them: {reason}"));
        }
        if self.empty_files > 0 {
            out.push(count(self.empty_files, "empty file", "empty files"));
        }
        if self.other_files > 0 {
            out.push(count(self.other_files, "file of unknown format", "files of unknown format"));
        }
        out
    }

    fn add(&mut self, other: Account) {
        self.without_text += other.without_text;
        self.without_label += other.without_label;
        self.refused += other.refused;
        self.without_answer += other.without_answer;
        self.reason = self.reason.take().or(other.reason);
        self.conversations += other.conversations;
        for column in other.columns {
            if !self.columns.contains(&column) {
                self.columns.push(column);
            }
        }
        self.empty_files += other.empty_files;
        self.other_files += other.other_files;
        self.notes.extend(other.notes);
    }
}

/// Where the rows of one file go.
pub(super) struct RowSink<'a> {
    pub column: Option<&'a str>,
    pub style: &'a ChatStyle,
    found: Found,
    /// Columns of labels that are read with the text.
    label_columns: &'a [String],
    /// Their values, document by document.
    labels: Vec<Vec<String>>,
}

impl RowSink<'_> {
    /// Which of `columns` makes the documents of a file.
    ///
    /// # Errors
    /// As [`rows::choose`] and [`rows::choose_labelled`].
    pub fn choose(&self, file: &str, columns: &ColumnTypes) -> Result<Pick, TrainError> {
        match self.label_columns {
            [] => rows::choose(file, self.column, columns),
            labels => rows::choose_labelled(file, (self.column, labels), columns),
        }
    }

    /// Whether every column of labels is among those seen so far.
    pub fn knows_labels(&self, columns: &BTreeMap<String, rows::Holds>) -> bool {
        self.label_columns.iter().all(|label| columns.contains_key(label))
    }

    /// Notes the columns that conversations come from.
    pub fn picked(&mut self, pick: &Pick) {
        if pick.is_conversation() {
            self.found.account.columns = pick.columns().into_iter().map(str::to_owned).collect();
        }
    }

    /// Takes the outcome of a row, a conversation or not; returns a problem.
    pub fn take(&mut self, conversation: bool, outcome: Result<RowOutcome, String>) -> Result<(), String> {
        let account = &mut self.found.account;
        match outcome? {
            RowOutcome::Document(text) => {
                account.conversations += usize::from(conversation);
                self.found.documents.push(text);
            }
            RowOutcome::Labelled(text, labels) => {
                self.found.documents.push(text);
                self.labels.push(labels);
            }
            RowOutcome::NoText => account.without_text += 1,
            RowOutcome::NoLabel => account.without_label += 1,
            RowOutcome::NoAnswer => account.without_answer += 1,
            RowOutcome::Refused(reason) => {
                account.refused += 1;
                account.reason.get_or_insert(reason);
            }
        }
        Ok(())
    }
}

/// Reads files and folders (their files sorted by name), in the given order, in the forms of [`forms::FORMS`]. The name
/// [`BUNDLED`] alone is the bundled text.
///
/// # Errors
/// More than fits into memory; an empty, binary or badly encoded file, named with the byte offset of the damage; a file of
/// another form; a column that is not there, with those that are; a folder or table without text.
pub fn read(paths: &[PathBuf], how: &ReadOptions) -> Result<Found, TrainError> {
    if let [only] = paths
        && only.to_str().is_some_and(is_bundled)
        && !only.exists()
    {
        return Ok(Found { documents: plain(BUNDLED_TEXT), ..Found::default() });
    }
    let mut all = Found::default();
    let (files, others) = expand(paths)?;
    all.account.other_files = others;
    let mut room = TextRoom::of(how.memory);
    // Of a Parquet file, only some columns are read; it is judged by their sizes when it is opened.
    let by_size = files.iter().map(|f| f.path.clone()).filter(|path| kind(path) != FileKind::Parquet);
    room.judge(&by_size.collect::<Vec<_>>())?;
    for Listed { path, in_folder } in &files {
        if *in_folder && is_blank(path) {
            all.account.empty_files += 1;
            continue;
        }
        let Found { documents, account } = read_file(path, &mut room, (how, &[]))?.found;
        if documents.is_empty() && *in_folder && account.refused + account.without_answer == 0 {
            all.account.empty_files += 1;
            continue;
        }
        if documents.is_empty() {
            return Err(no_text(path, &account));
        }
        all.documents.extend(documents);
        all.account.add(account);
    }
    if all.documents.is_empty() {
        let places: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
        return Err(TrainError::setup(format!("{} contains no text", places.join(", "))));
    }
    all.account.notes.extend(room.note());
    Ok(all)
}

fn kind(path: &Path) -> FileKind {
    forms::form(path).map_or(FileKind::Text, |form| form.kind)
}

fn no_text(path: &Path, account: &Account) -> TrainError {
    let problem = match &account.reason {
        None if account.without_answer > 0 => {
            return TrainError::Setup {
                problem: format!("{}: no conversation has an answer for the loss to be on", path.display()),
                hint: Some("set the loss on all tokens (--loss-on all)".to_owned()),
            };
        }
        Some(reason) => format!("{}: the chat template refuses every conversation: {reason}", path.display()),
        None => format!("{} contains no text", path.display()),
    };
    TrainError::setup(problem)
}

/// Texts of a table with what is said of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelledRows {
    pub texts: Vec<String>,
    /// Text by text, in the order of the columns that were asked for.
    pub labels: Vec<Vec<String>>,
    /// What was left out.
    pub account: Account,
}

/// Reads one table or JSON file with the values of the columns `labels` beside every text.
///
/// # Errors
/// As [`read`]; a file without columns; a column that is not there.
pub fn read_labelled(path: &Path, how: &ReadOptions, labels: &[String]) -> Result<LabelledRows, TrainError> {
    let mut room = TextRoom::of(how.memory);
    if kind(path) != FileKind::Parquet {
        room.judge(&[path.to_owned()])?;
    }
    let rows = read_file(path, &mut room, (how, labels))?;
    let Found { documents, account } = rows.found;
    if rows.labels.len() != documents.len() || documents.is_empty() {
        return Err(TrainError::Setup {
            problem: format!("{} has no rows with text and label", path.display()),
            hint: Some("pass a CSV, TSV, JSON lines or Parquet file with both columns".to_owned()),
        });
    }
    let texts = documents.into_iter().map(|document| document.text).collect();
    Ok(LabelledRows { texts, labels: rows.labels, account })
}

fn read_file<'a>(
    path: &Path,
    room: &mut TextRoom,
    (how, label_columns): (&ReadOptions<'a>, &'a [String]),
) -> Result<RowSink<'a>, TrainError> {
    let name = path.display().to_string();
    let mut rows = RowSink {
        column: how.column,
        style: how.style,
        found: Found::default(),
        label_columns,
        labels: Vec::new(),
    };
    let kind = kind(path);
    if kind == FileKind::Parquet {
        table::parquet(path, room, &mut rows)?;
        return Ok(rows);
    }
    let text = file::text(&name, file::bytes(path, room)?)?;
    match kind {
        FileKind::Json => table::json(&name, &text, &mut rows)?,
        FileKind::Comma => {
            let separator = table::separator(&text);
            table::separated(&name, &text, (separator, true), &mut rows)?;
        }
        FileKind::Tab => {
            let quoted = table::is_quoted(&text, b'\t');
            table::separated(&name, &text, (b'\t', quoted), &mut rows)?;
        }
        FileKind::Text | FileKind::Parquet if json::is_rows(&text) => {
            table::json(&name, &text, &mut rows)?;
            rows.found.account.notes.push(format!("{name} contains JSON and was read as JSON"));
        }
        FileKind::Text | FileKind::Parquet => rows.found.documents = plain(&text),
    }
    Ok(rows)
}

fn plain(text: &str) -> Vec<TextDocument> {
    documents_of(text).into_iter().map(TextDocument::from).collect()
}

/// The documents of a text: what lies between blank lines, whatever ends a line.
pub fn documents_of(text: &str) -> Vec<String> {
    let documents =
        |text: &str| text.split("\n\n").map(str::trim).filter(|d| !d.is_empty()).map(str::to_owned).collect();
    if !text.contains('\r') {
        return documents(text);
    }
    documents(&text.replace("\r\n", "\n").replace('\r', "\n"))
}

/// A file to read.
struct Listed {
    path: PathBuf,
    /// Found in a folder, not named itself.
    in_folder: bool,
}

/// The files of all paths, and how many files of folders are of no known form.
fn expand(paths: &[PathBuf]) -> Result<(Vec<Listed>, usize), TrainError> {
    let (mut files, mut others) = (Vec::new(), 0);
    for path in paths {
        if !path.is_dir() {
            files.push(Listed { path: path.clone(), in_folder: false });
            continue;
        }
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(TrainError::unreadable(path))? {
            let file = entry.map_err(TrainError::unreadable(path))?.path();
            let hidden = file.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
            match file.is_file() && !hidden {
                true if forms::form(&file).is_some() => inside.push(file),
                true => others += 1,
                false => {}
            }
        }
        if inside.is_empty() {
            return Err(TrainError::Setup {
                problem: format!("{} contains no readable text files", path.display()),
                hint: Some(format!("known: {}", forms::known())),
            });
        }
        inside.sort();
        files.extend(inside.into_iter().map(|path| Listed { path, in_folder: true }));
    }
    if files.is_empty() {
        return Err(TrainError::setup("no data was given"));
    }
    Ok((files, others))
}

/// Bytes that a file without text may have: a byte order mark and line ends.
const BLANK: u64 = 64;

/// Whether a file is empty, or nothing but blanks.
fn is_blank(path: &Path) -> bool {
    let small = std::fs::metadata(path).is_ok_and(|m| m.len() <= BLANK);
    let blank =
        |bytes: Vec<u8>| bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes).trim_ascii().is_empty();
    small && std::fs::read(path).is_ok_and(blank)
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
