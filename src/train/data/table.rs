//! Tables to documents: one row, one document, in the columns that hold it.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::Type as SchemaType;
use serde_json::{Map, Value};

use super::file::{self, TextRoom};
use super::json;
use super::read::RowSink;
use super::rows::{self, ColumnTypes, Holds, Pick};
use crate::train::TrainError;

fn wrong(file: &str, problem: impl std::fmt::Display) -> TrainError {
    TrainError::setup(format!("{file}: {problem}"))
}

/// JSON in any arrangement: see [`json::rows`]. Columns are judged over all rows, since any row may lack any of them.
pub fn json(name: &str, text: &str, into: &mut RowSink) -> Result<(), TrainError> {
    let text = json::plain_numbers(text);
    let rows = json::rows(&text).map_err(|e| wrong(name, e))?;
    let mut columns: BTreeMap<String, Holds> = BTreeMap::new();
    let (mut texts, mut conversations) = (false, false);
    for row in &rows {
        match row.value().map_err(|e| wrong(name, e))? {
            Value::Object(object) => rows::seen(&mut columns, &object),
            Value::String(_) => texts = true,
            Value::Array(_) => conversations = true,
            Value::Null => {}
            other => {
                let problem = format!("{} is {}, not an object", row.place(), rows::what(&other));
                return Err(wrong(name, problem));
            }
        }
        let known = |column: &str| columns.get(column).is_some_and(|holds| *holds > Holds::Other);
        if known(into.column.unwrap_or(rows::USUAL)) && into.knows_labels(&columns) {
            break;
        }
    }
    let columns: ColumnTypes = columns.into_iter().collect();
    let pick = match (columns.is_empty(), into.column) {
        (true, None) if texts || conversations => None,
        (true, _) if rows.is_empty() => None,
        _ => Some(into.choose(name, &columns)?),
    };
    if let Some(pick) = &pick {
        into.picked(pick);
    }
    for row in &rows {
        let value = row.value().map_err(|e| wrong(name, e))?;
        let conversation = value.is_array() || pick.as_ref().is_some_and(Pick::is_conversation);
        let outcome = match (value, &pick) {
            (Value::Object(object), Some(pick)) => rows::document(pick, &object, into.style),
            (Value::String(text), None) => Ok(rows::RowOutcome::text(&text)),
            (turns @ Value::Array(_), None) => rows::conversation(("row", 0), &turns, into.style),
            (Value::Null, _) => Ok(rows::RowOutcome::NoText),
            (other, _) => Err(format!("is {}, unlike the rows before", rows::what(&other))),
        };
        into.take(conversation, outcome).map_err(|e| wrong(name, format!("{}: {e}", row.place())))?;
    }
    Ok(())
}

/// Separators that a `.csv` file may have; the first is taken where nothing tells.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Records from which the separator is recognised.
const TELLING: usize = 20;

fn reader(text: &str, separator: u8, quoting: bool) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .delimiter(separator)
        .quoting(quoting)
        .flexible(true)
        .has_headers(false)
        .from_reader(text.as_bytes())
}

/// Which character separates the values of a CSV file: the one that makes the most columns, as many in every one of the first
/// records.
pub fn separator(text: &str) -> u8 {
    let width = |separator: u8| {
        let records: Vec<usize> =
            reader(text, separator, true).records().take(TELLING).map(|r| r.map_or(0, |r| r.len())).collect();
        let first = records.first().copied().unwrap_or(0);
        if records.iter().all(|n| *n == first) { first } else { 0 }
    };
    let widest = SEPARATORS.into_iter().rev().max_by_key(|s| width(*s)).filter(|s| width(*s) > 1);
    widest.unwrap_or(SEPARATORS[0])
}

/// Whether the quotation marks of a table quote whole values, as Excel and pandas write them; otherwise they are characters
/// like any other.
pub fn is_quoted(text: &str, separator: u8) -> bool {
    let ends = |b: Option<&u8>| b.is_none_or(|b| *b == separator || *b == b'\n' || *b == b'\r');
    let bytes = text.as_bytes();
    let (mut at, mut starts) = (0, true);
    while at < bytes.len() {
        if !(starts && bytes[at] == b'"') {
            starts = ends(Some(&bytes[at]));
            at += 1;
            continue;
        }
        // To the mark that closes the value; two are one inside.
        at += 1;
        loop {
            match (bytes.get(at), bytes.get(at + 1)) {
                (None, _) => return false,
                (Some(b'"'), Some(b'"')) => at += 2,
                (Some(b'"'), next) if ends(next) => break,
                (Some(b'"'), _) => return false,
                _ => at += 1,
            }
        }
        (at, starts) = (at + 1, false);
    }
    true
}

/// Values separated by `separator`, the first row naming the columns; quoted as in RFC 4180 where they are `quoted`.
pub fn separated(
    name: &str,
    text: &str,
    (separator, quoted): (u8, bool),
    into: &mut RowSink,
) -> Result<(), TrainError> {
    let bad = |e: csv::Error| {
        let place = e.position().map(|p| format!("line {} (byte offset {}): ", p.line(), p.byte()));
        wrong(name, format!("{}{e}", place.unwrap_or_default()))
    };
    let mut records = reader(text, separator, quoted).into_records();
    let header: Vec<String> = match records.next() {
        None => return Ok(()),
        Some(header) => header.map_err(bad)?.iter().map(str::to_owned).collect(),
    };
    let columns: ColumnTypes = header.iter().map(|column| (column.clone(), Holds::Text)).collect();
    let pick = into.choose(name, &columns)?;
    into.picked(&pick);
    let place = |column: &str| header.iter().position(|c| c == column).unwrap_or(0);
    let used: Vec<(&str, usize)> = pick.columns().into_iter().map(|c| (c, place(c))).collect();
    for record in records {
        let record = record.map_err(bad)?;
        if record.len() != header.len() {
            let at = record.position().map(|p| format!("line {} (byte offset {}): ", p.line(), p.byte()));
            let problem = format!("{} values in a table of {} columns", record.len(), header.len());
            return Err(wrong(name, format!("{}{problem}", at.unwrap_or_default())));
        }
        let value = |i: usize| Value::from(record.get(i).unwrap_or_default());
        let row: Map<String, Value> = used.iter().map(|(c, i)| ((*c).to_owned(), value(*i))).collect();
        into.take(pick.is_conversation(), rows::document(&pick, &row, into.style))
            .map_err(|e| wrong(name, e))?;
    }
    Ok(())
}

/// What a top-level column of a Parquet file holds: text (`STRING`, `UTF8`, or bytes of which nothing is said), or turns.
fn holds(column: &SchemaType) -> Holds {
    if !column.is_primitive() {
        let turns = leaves(column).iter().any(|name| name == "role" || name == "from");
        return if turns { Holds::Turns } else { Holds::Other };
    }
    let info = column.get_basic_info();
    let text = column.get_physical_type() == Type::BYTE_ARRAY
        && matches!(
            (info.logical_type_ref(), info.converted_type()),
            (Some(LogicalType::String), _) | (None, ConvertedType::UTF8 | ConvertedType::NONE)
        );
    if text { Holds::Text } else { Holds::Other }
}

/// Names of the values inside a column.
fn leaves(column: &SchemaType) -> Vec<String> {
    if column.is_primitive() {
        return vec![column.name().to_owned()];
    }
    column.get_fields().iter().flat_map(|field| leaves(field)).collect()
}

/// Rows of a Parquet file; only the chosen columns are read.
pub fn parquet(path: &Path, room: &mut TextRoom, into: &mut RowSink) -> Result<(), TrainError> {
    if file::is_packed(path) {
        let bytes = file::bytes(path, room)?;
        return parquet_rows(path, Bytes::from(bytes), room, into);
    }
    parquet_rows(path, std::fs::File::open(path).map_err(TrainError::unreadable(path))?, room, into)
}

fn parquet_rows<R: ChunkReader + 'static>(
    path: &Path,
    source: R,
    room: &mut TextRoom,
    into: &mut RowSink,
) -> Result<(), TrainError> {
    let name = path.display().to_string();
    let bad = |e: ParquetError| wrong(&name, format!("not a Parquet file that can be read: {e}"));
    let reader = SerializedFileReader::new(source).map_err(bad)?;
    let schema = reader.metadata().file_metadata().schema().clone();
    let columns: ColumnTypes = schema.get_fields().iter().map(|c| (c.name().to_owned(), holds(c))).collect();
    let pick = into.choose(&name, &columns)?;
    if let Pick::Text(column) | Pick::Labelled(column, _) = &pick
        && columns.iter().any(|(name, holds)| name == column && *holds != Holds::Text)
    {
        return Err(wrong(&name, format!("column {column:?} does not contain text")));
    }
    into.picked(&pick);
    let used = pick.columns();
    room.take(&name, size(&reader, &used))?;
    let kept: Vec<_> = schema.get_fields().iter().filter(|f| used.contains(&f.name())).cloned().collect();
    let only = SchemaType::group_type_builder(schema.name()).with_fields(kept).build().map_err(bad)?;
    for (number, row) in reader.get_row_iter(Some(only)).map_err(bad)?.enumerate() {
        let row = row.map_err(bad)?;
        let mut values = Map::new();
        for (column, field) in row.get_column_iter() {
            let value = value(field).map_err(|e| wrong(&name, format!("row {number} of {column:?} {e}")))?;
            values.insert(column.clone(), value);
        }
        let outcome = rows::document(&pick, &values, into.style);
        into.take(pick.is_conversation(), outcome).map_err(|e| wrong(&name, format!("row {number}: {e}")))?;
    }
    Ok(())
}

/// Unpacked bytes of the columns in use.
fn size<R: ChunkReader + 'static>(reader: &SerializedFileReader<R>, used: &[&str]) -> u64 {
    let groups =
        reader.metadata().row_groups().iter().flat_map(parquet::file::metadata::RowGroupMetaData::columns);
    let ours = groups.filter(|c| c.column_path().parts().first().is_some_and(|p| used.contains(&p.as_str())));
    ours.map(|c| c.uncompressed_size().max(0) as u64).sum()
}

/// A value of a Parquet file as JSON; what is neither text, whole number nor made of texts is a number, whatever it is.
fn value(field: &Field) -> Result<Value, String> {
    Ok(match field {
        Field::Null => Value::Null,
        Field::Str(text) => Value::from(text.as_str()),
        Field::Bytes(bytes) => {
            let text = std::str::from_utf8(bytes.data())
                .map_err(|e| format!("is not UTF-8 from its byte {} on", e.valid_up_to()))?;
            Value::from(text)
        }
        Field::ListInternal(list) => list.elements().iter().map(value).collect::<Result<_, _>>()?,
        Field::Group(group) => {
            let fields = group.get_column_iter().map(|(name, field)| Ok((name.clone(), value(field)?)));
            Value::Object(fields.collect::<Result<_, String>>()?)
        }
        Field::Bool(value) => Value::Bool(*value),
        Field::Byte(n) => Value::from(*n),
        Field::Short(n) => Value::from(*n),
        Field::Int(n) => Value::from(*n),
        Field::Long(n) => Value::from(*n),
        Field::UByte(n) => Value::from(*n),
        Field::UShort(n) => Value::from(*n),
        Field::UInt(n) => Value::from(*n),
        Field::ULong(n) => Value::from(*n),
        _ => Value::from(0),
    })
}
