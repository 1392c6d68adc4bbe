use super::*;

fn write(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn problem(result: Result<Vec<String>, TrainError>) -> String {
    let error = result.unwrap_err();
    match error.hint() {
        Some(hint) => format!("{error} | {hint}"),
        None => error.to_string(),
    }
}

#[test]
fn files_that_are_no_text_are_named_with_the_byte_where_it_goes_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str, content: &[u8]| problem(read(&[write(folder.path(), name, content)], None));
    assert!(at("a.txt", b"").ends_with("a.txt is empty"));
    assert!(at("bom.txt", b"\xef\xbb\xbf").ends_with("is empty"));
    assert!(at("b.txt", b"abc\0def").contains("zero byte at offset 3"));
    let latin = at("c.txt", b"caf\xe9 au lait");
    assert!(latin.contains("byte offset 3 on: byte 0xe9") && latin.contains("iconv"), "{latin}");
    assert!(at("d.txt", b"\xff\xfeh\0i\0").contains("UTF-16"));
    assert!(at("e.txt", b" \n\n \n").contains("holds no text"));
    assert!(at("f.csv", b"text\nab\xff\n").contains("byte offset 7"));
    assert!(problem(read(&[folder.path().join("none.txt")], None)).contains("none.txt"));
    assert_eq!(problem(read(&[], None)), "no data was given");
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    assert!(problem(read(&[folder.path().join("empty")], None)).contains(".parquet"));
}

#[test]
fn text_is_cut_at_blank_lines_and_folders_are_read_by_name() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "b.md", b"three");
    write(folder.path(), "a.txt", "\u{feff}one\r\nline\r\n\r\n\r\n two \n".as_bytes());
    write(folder.path(), "c.jsonl", b"{\"text\": \"four\"}\n");
    write(folder.path(), "ignored.png", b"\0\0");
    let got = read(&[folder.path().to_path_buf()], None).unwrap();
    assert_eq!(got, ["one\nline", "two", "three", "four"]);
    let bundled = read(&[PathBuf::from(BUNDLED)], None).unwrap();
    assert!(bundled.len() > 10 && bundled.iter().map(String::len).sum::<usize>() > 50_000);
}

#[test]
fn json_lines_take_the_named_column_and_say_where_they_fail() {
    let folder = tempfile::tempdir().unwrap();
    let at = |content: &str, column| read(&[write(folder.path(), "a.jsonl", content.as_bytes())], column);
    let two = "{\"id\": 1, \"text\": \"a\\nb\", \"title\": \"T\"}\n\n{\"id\": 2, \"text\": null, \"title\": \"U\"}\n";
    assert_eq!(at(two, None).unwrap(), ["a\nb"]);
    assert_eq!(at(two, Some("title")).unwrap(), ["T", "U"]);
    let missing = problem(at(two, Some("body")));
    assert!(missing.contains("no column \"body\"") && missing.contains("id, text, title"), "{missing}");
    assert!(problem(at(two, Some("id"))).contains("holds a number, not text"));
    assert_eq!(at("{\"id\": 1, \"body\": \"x\"}", None).unwrap(), ["x"], "the only text column");
    assert!(problem(at("{\"a\": \"1\", \"b\": \"2\"}", None)).contains("a, b"));
    let broken = problem(at("{\"text\": \"é\"}\n{\"text\": \n", None));
    assert!(broken.contains("line 2 (byte offset 15)"), "{broken}");
}

#[test]
fn separated_values_take_the_named_column_and_say_where_they_fail() {
    let folder = tempfile::tempdir().unwrap();
    let csv = |content: &str, column| read(&[write(folder.path(), "a.csv", content.as_bytes())], column);
    let table = "id,body\n1,\"a, \"\"b\"\"\nc\"\n2,d\n";
    assert_eq!(csv(table, Some("body")).unwrap(), ["a, \"b\"\nc", "d"]);
    assert!(problem(csv(table, None)).contains("id, body"));
    assert!(problem(csv(table, Some("text"))).contains("id, body"));
    let short = problem(csv("id,text\n1,a\n2\n", None));
    assert!(short.contains("line 3 (byte offset 12): 1 values in a table of 2 columns"), "{short}");
    let tsv = write(folder.path(), "a.tsv", b"text\tn\nsays \"hi\tthere\t1\n".as_slice());
    assert!(problem(read(&[tsv], None)).contains("3 values"));
    let tsv = write(folder.path(), "b.tsv", b"text\tn\nsays \"hi\t1\nb\t2\n".as_slice());
    assert_eq!(read(&[tsv], None).unwrap(), ["says \"hi", "b"]);
}

/// A Parquet file with a text column (with a null), a number and bytes that are no text.
fn parquet_file(path: &Path, codec: parquet::basic::Compression) {
    use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use std::sync::Arc;
    let schema =
        "message schema { OPTIONAL BYTE_ARRAY body (UTF8); REQUIRED INT64 n; REQUIRED BYTE_ARRAY raw; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(codec).build());
    let file = std::fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let text = [ByteArray::from("first é"), ByteArray::from("second")];
    column.typed::<ByteArrayType>().write_batch(&text, Some(&[1, 0, 1]), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&[1, 2, 3], None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let raw = [ByteArray::from("ok"), ByteArray::from(vec![b'a', 0xff]), ByteArray::from("ok")];
    column.typed::<ByteArrayType>().write_batch(&raw, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn parquet_files_give_their_text_column_whatever_their_compression() {
    use parquet::basic::{Compression, GzipLevel, ZstdLevel};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    for codec in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
    ] {
        parquet_file(&path, codec);
        assert_eq!(
            read(std::slice::from_ref(&path), Some("body")).unwrap(),
            ["first é", "second"],
            "{codec}"
        );
    }
    let paths = [path.clone()];
    assert!(problem(read(&paths, Some("text"))).contains("body, n, raw"));
    assert!(problem(read(&paths, None)).contains("body, n, raw"), "two columns may hold text");
    assert!(problem(read(&paths, Some("n"))).contains("does not hold text"));
    assert!(problem(read(&paths, Some("raw"))).contains("row 1 of \"raw\" is not UTF-8 from its byte 1"));
    std::fs::write(&path, b"PAR1 and nothing else").unwrap();
    assert!(problem(read(&paths, None)).contains("not a Parquet file"));
}
