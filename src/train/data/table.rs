//! Tables to documents: one row, one document, in the column that holds the text.

use std::path::Path;

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::Type as SchemaType;

use crate::train::TrainError;

/// The column that is taken where none is named.
const USUAL: &str = "text";

fn wrong(file: &str, problem: impl std::fmt::Display) -> TrainError {
    TrainError::setup(format!("{file}: {problem}"))
}

/// Which of `columns` holds the text; `texts` are those that may.
fn choose<'a>(
    file: &str,
    asked: Option<&str>,
    columns: &'a [String],
    texts: &[&'a str],
) -> Result<&'a str, TrainError> {
    let list = || columns.join(", ");
    if let Some(asked) = asked {
        return columns.iter().map(String::as_str).find(|c| *c == asked).ok_or_else(|| TrainError::Setup {
            problem: format!("{file} has no column {asked:?}"),
            hint: Some(format!("its columns: {}", list())),
        });
    }
    match texts {
        _ if texts.contains(&USUAL) => Ok(texts.iter().copied().find(|c| *c == USUAL).unwrap_or(USUAL)),
        [only] => Ok(only),
        _ => Err(TrainError::Setup {
            problem: format!("{file} does not say which column holds the text"),
            hint: Some(format!("name one of its columns: {}", list())),
        }),
    }
}

/// One JSON object a line. Rows whose column is null are left out.
pub(super) fn jsonl(file: &str, text: &str, column: Option<&str>) -> Result<Vec<String>, TrainError> {
    let mut out = Vec::new();
    let mut chosen: Option<String> = column.map(str::to_owned);
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let (start, line) = (at, line.trim());
        at += text[at..].find('\n').map_or(text.len() - at, |n| n + 1);
        if line.is_empty() {
            continue;
        }
        let place = || format!("line {} (byte offset {start})", number + 1);
        let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line)
            .map_err(|e| wrong(file, format!("{} is not a JSON object: {e}", place())))?;
        let columns: Vec<String> = row.keys().cloned().collect();
        let name = match &chosen {
            Some(name) if row.contains_key(name) => name.clone(),
            // Only the first row decides; a later one may lack what the first had.
            asked => {
                let texts: Vec<&str> =
                    row.iter().filter(|(_, v)| v.is_string()).map(|(k, _)| k.as_str()).collect();
                let name = choose(&format!("{file}, {}", place()), asked.as_deref(), &columns, &texts)?;
                chosen.insert(name.to_owned()).clone()
            }
        };
        match &row[&name] {
            serde_json::Value::String(text) => out.push(text.clone()),
            serde_json::Value::Null => {}
            other => {
                let kind = match other {
                    serde_json::Value::Bool(_) => "a truth value",
                    serde_json::Value::Number(_) => "a number",
                    serde_json::Value::Array(_) => "a list",
                    _ => "an object",
                };
                return Err(wrong(file, format!("{}: column {name:?} holds {kind}, not text", place())));
            }
        }
    }
    Ok(out)
}

/// Values separated by `separator`, quoted as in RFC 4180, the first row naming the columns.
pub(super) fn separated(
    file: &str,
    text: &str,
    separator: u8,
    column: Option<&str>,
) -> Result<Vec<String>, TrainError> {
    // In TSV files a quotation mark is a character like any other.
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .quoting(separator != b'\t')
        .from_reader(text.as_bytes());
    let bad = |e: csv::Error| {
        let place = e.position().map(|p| format!("line {} (byte offset {}): ", p.line(), p.byte()));
        let what = match e.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("{len} values in a table of {expected_len} columns")
            }
            _ => e.to_string(),
        };
        wrong(file, format!("{}{what}", place.unwrap_or_default()))
    };
    let columns: Vec<String> = reader.headers().map_err(bad)?.iter().map(str::to_owned).collect();
    let texts: Vec<&str> = columns.iter().map(String::as_str).collect();
    let chosen = choose(file, column, &columns, &texts)?;
    let index = columns.iter().position(|c| c == chosen).unwrap_or(0);
    let mut out = Vec::new();
    for row in reader.records() {
        out.push(row.map_err(bad)?.get(index).unwrap_or_default().to_owned());
    }
    Ok(out)
}

/// Whether a top-level column holds text (`STRING`, `UTF8`, or bytes of which nothing is said).
fn holds_text(column: &SchemaType) -> bool {
    if !column.is_primitive() || column.get_physical_type() != Type::BYTE_ARRAY {
        return false;
    }
    let info = column.get_basic_info();
    matches!(
        (info.logical_type_ref(), info.converted_type()),
        (Some(LogicalType::String), _) | (None, ConvertedType::UTF8 | ConvertedType::NONE)
    )
}

/// Rows of a Parquet file; only the chosen column is read. Rows that are null are left out.
pub(super) fn parquet(path: &Path, column: Option<&str>) -> Result<Vec<String>, TrainError> {
    let file = path.display().to_string();
    let bad =
        |e: parquet::errors::ParquetError| wrong(&file, format!("not a Parquet file that can be read: {e}"));
    let open = std::fs::File::open(path).map_err(TrainError::io(path))?;
    let reader = SerializedFileReader::new(open).map_err(bad)?;
    let schema = reader.metadata().file_metadata().schema().clone();
    let columns: Vec<String> = schema.get_fields().iter().map(|c| c.name().to_owned()).collect();
    let texts: Vec<&str> = schema.get_fields().iter().filter(|c| holds_text(c)).map(|c| c.name()).collect();
    let chosen = choose(&file, column, &columns, &texts)?.to_owned();
    let Some(kept) = schema.get_fields().iter().find(|c| c.name() == chosen) else {
        return Err(wrong(&file, format!("column {chosen:?} is gone")));
    };
    let only =
        SchemaType::group_type_builder(schema.name()).with_fields(vec![kept.clone()]).build().map_err(bad)?;
    let mut out = Vec::new();
    for (number, row) in reader.get_row_iter(Some(only)).map_err(bad)?.enumerate() {
        let row = row.map_err(bad)?;
        match row.get_column_iter().next() {
            Some((_, Field::Str(text))) => out.push(text.clone()),
            Some((_, Field::Bytes(bytes))) => {
                let text = std::str::from_utf8(bytes.data()).map_err(|e| {
                    let at = e.valid_up_to();
                    wrong(&file, format!("row {number} of {chosen:?} is not UTF-8 from its byte {at} on"))
                })?;
                out.push(text.to_owned());
            }
            Some((_, Field::Null)) | None => {}
            Some(_) => {
                return Err(TrainError::Setup {
                    problem: format!("{file}: column {chosen:?} does not hold text"),
                    hint: Some(format!("its columns: {}", columns.join(", "))),
                });
            }
        }
    }
    Ok(out)
}
