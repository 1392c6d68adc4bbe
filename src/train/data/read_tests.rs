use super::*;

fn write(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// The documents of paths, with memory for a few megabytes.
fn read(paths: &[PathBuf], column: Option<&str>) -> Result<Vec<String>, TrainError> {
    let style = ChatStyle::plain("<end>");
    super::read(paths, &ReadOptions { column, style: &style, memory: 200 << 20 })
        .map(|found| found.documents.into_iter().map(|d| d.text).collect())
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
    assert!(at("d.txt", b"\xff\xfeh\0\0\xd8").contains("is not UTF-16 from byte offset 4 on"));
    assert!(at("d.txt", b"\xfe\xff\0h\0").contains("is not UTF-16 from byte offset 4 on: half a character"));
    assert!(at("e.txt", b" \n\n \n").contains("contains no text"));
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
    assert!(
        problem(at(two, Some("id")))
            .contains("line 1 (byte offset 0): column \"id\" contains a number, not text")
    );
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
    assert!(
        problem(read(&paths, None)).ends_with("set the column (--column) to one of: body, raw"),
        "two may hold text"
    );
    assert!(problem(read(&paths, Some("n"))).contains("does not contain text"));
    assert!(problem(read(&paths, Some("raw"))).contains("row 1 of \"raw\" is not UTF-8 from its byte 1"));
    std::fs::write(&path, b"PAR1 and nothing else").unwrap();
    assert!(problem(read(&paths, None)).contains("not a Parquet file"));
}

#[test]
fn rows_without_text_are_left_out_wherever_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    let at = |content: &str, column| read(&[write(folder.path(), "a.jsonl", content.as_bytes())], column);
    let rows: String = (0..8)
        .map(|i| match i % 4 {
            0 => format!("{{\"id\": {i}, \"note\": \"removed\"}}\n"),
            _ => format!("{{\"id\": {i}, \"text\": \"t{i}\"}}\n"),
        })
        .collect();
    let texts = ["t1", "t2", "t3", "t5", "t6", "t7"];
    assert_eq!(at(&rows, Some("text")).unwrap(), texts);
    assert_eq!(at(&rows, None).unwrap(), texts, "the first row does not decide alone");
    assert_eq!(at(&rows, Some("note")).unwrap(), ["removed", "removed"]);
    let none = problem(at(&rows, Some("body")));
    assert!(
        none.contains("a.jsonl has no column \"body\"") && none.ends_with("its columns: id, note, text"),
        "{none}"
    );
    let numbers = problem(at("{\"text\": NaN, \"id\": 1}\n{\"text\": null, \"id\": 2}\n", None));
    assert!(numbers.contains("has no column that contains text"), "{numbers}");
    assert!(problem(at("{\"text\": NaN}\n", Some("text"))).contains("contains no text"));
    assert!(problem(at("{\"text\": \"a\"}\n5\n", None)).contains("line 2 (byte offset 14): is a number"));
}

#[test]
fn json_without_a_usual_column_asks_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let at =
        |name: &str, content: &str, column| read(&[write(folder.path(), name, content.as_bytes())], column);
    let alpaca = "[{\"instruction\": \"i\", \"input\": \"\", \"output\": \"o\"}, {\"instruction\": \"j\", \"input\": \"k\", \
                  \"output\": \"p\"}]";
    let asked = problem(at("a.json", &alpaca.replace("instruction", "task"), None));
    assert!(asked.ends_with("set the column (--column) to one of: input, output, task"), "{asked}");
    assert_eq!(
        at("a.json", alpaca, None).unwrap(),
        ["i<end>o", "j\n\nk<end>p"],
        "an instruction and what is done"
    );
    assert_eq!(at("a.json", alpaca, Some("output")).unwrap(), ["o", "p"]);
    assert_eq!(at("a.txt", alpaca, Some("output")).unwrap(), ["o", "p"], "JSON is recognised by its content");
    assert_eq!(at("b.txt", "[1] a list\n\n{not json}", None).unwrap(), ["[1] a list", "{not json}"]);
    let broken = problem(at("c.json", "[{\"text\": \"a\"}, {\"text\": \"b\"", None));
    assert!(broken.contains("is not JSON"), "{broken}");
    let columns = problem(at("d.json", "{\"text\": {\"0\": \"a\", \"1\": \"b\"}}", None));
    assert!(columns.contains("has no column that contains text"), "{columns}");
    let bare = problem(at("e.json", "[\"a\", \"b\"]", Some("text")));
    assert!(bare.contains("e.json has no columns"), "{bare}");
    assert_eq!(at("e.json", "[\"a\", null, \"b\"]", None).unwrap(), ["a", "b"]);
}

#[test]
fn conversations_are_documents_and_a_hint_names_what_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = |content: &str, column| read(&[write(folder.path(), "a.jsonl", content.as_bytes())], column);
    let turns = "[{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]";
    let row = format!("{{\"messages\": {turns}, \"source\": \"s\"}}");
    assert_eq!(at(&row, None).unwrap(), ["a<end>b"]);
    assert_eq!(at(&row, Some("messages")).unwrap(), ["a<end>b"]);
    assert_eq!(at(&row, Some("source")).unwrap(), ["s"]);
    assert_eq!(at(&format!("[{turns}, {turns}]"), None).unwrap(), ["a<end>b", "a<end>b"]);
    assert_eq!(at("{\"prompt\": \"a\", \"completion\": \"b\", \"id\": \"1\"}", None).unwrap(), ["a<end>b"]);
    let pair =
        format!("{{\"prompt\": {turns}, \"completion\": [{{\"role\": \"user\", \"content\": \"c\"}}]}}");
    assert_eq!(at(&pair, None).unwrap(), ["a<end>b<end>c"]);
    let damaged = problem(at(&format!("{row}\n{{\"messages\": [\"hi\"]}}"), None));
    assert!(
        damaged.contains("line 2 (byte offset") && damaged.contains("turn 1 is not an object"),
        "{damaged}"
    );
    let list = problem(at("{\"tags\": [\"a\"], \"n\": 1}", None));
    assert!(list.contains("has no column that contains text"), "{list}");
}

#[test]
fn separators_and_quotes_are_told_by_the_table() {
    for (text, separator) in [
        ("a;b\n1,5;2\n", b';'),
        ("a,b\n1;5,2\n", b','),
        ("a\tb\nx,y\tz\n", b'\t'),
        ("a|b|c\n1|2|3\n", b'|'),
        ("text\nHello; world\nfoo; bar; baz\n", b','),
        ("id;text\n1;\"a;b\nc\"\n", b';'),
    ] {
        assert_eq!(table::separator(text), separator, "{text:?}");
    }
    for (text, quoted) in [
        ("a\tb\n\"x\ny\"\t1\n", true),
        ("a\tb\n\"x \"\"y\"\"\"\t\"1\"\r\n", true),
        ("a\tb\nsays \"hi\t1\n", true),
        ("a\tb\n\"hi\t1\n", false),
        ("a\tb\n\"Hello\" she said\t1\n", false),
    ] {
        assert_eq!(table::is_quoted(text, b'\t'), quoted, "{text:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let tsv = write(folder.path(), "a.tsv", b"text\tn\n\"Hello\" she said\t1\n\"open\t2\n");
    assert_eq!(read(&[tsv], None).unwrap(), ["\"Hello\" she said", "\"open"]);
    let mac = write(folder.path(), "mac.csv", b"id,text\r1,a\r2,b\r");
    assert_eq!(read(&[mac], None).unwrap(), ["a", "b"]);
}

#[test]
fn what_is_no_text_is_named_as_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str, content: &[u8]| problem(read(&[write(folder.path(), name, content)], None));
    for (name, content, what) in [
        ("a.pdf", &b"%PDF-1.7 words"[..], "a PDF file"),
        ("a.docx", b"PK\x03\x04 words", "a ZIP archive"),
        ("a.jsonl", b"\n<!DOCTYPE html><p>Not found", "an HTML page"),
        ("a.txt", b"\xef\xbb\xbf<HTML>words", "an HTML page"),
        ("a.parquet.txt", b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS"),
        ("a.rtf", b"{\\rtf1 words}", "an RTF file"),
        ("a.bz2", b"BZh91AY", "packed by bzip2"),
    ] {
        let said = at(name, content);
        assert!(said.contains(&format!("{name} is {what}")), "{said}");
    }
    let mut tar = vec![b'x'; 600];
    tar[257..262].copy_from_slice(b"ustar");
    let packed = gzip(&tar);
    assert!(at("a.tar.gz", &packed).contains("a.tar.gz is a tar archive"));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

#[test]
fn sizes_are_judged_before_memory_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("large.txt");
    std::fs::File::create(&large).unwrap().set_len(40 << 30).unwrap();
    let said = problem(read(&[large], None));
    assert!(
        said.contains(
            "large.txt has 42.9 GB: reading this needs about 429.6 GB of memory, but 209.7 MB is free"
        ),
        "{said}"
    );
    let bomb = write(folder.path(), "bomb.txt.gz", &gzip(&vec![b'a'; 64 << 20]));
    assert!(std::fs::metadata(&bomb).unwrap().len() < 100_000);
    let said = problem(read(&[bomb], None));
    assert!(said.contains("bomb.txt.gz unpacks to more than 10.5 MB"), "{said}");
    let zstd = write(folder.path(), "bomb.zst", &zstd::encode_all(&vec![b'a'; 64 << 20][..], 1).unwrap());
    assert!(problem(read(&[zstd], None)).contains("unpacks to more than"));
    let damaged = write(folder.path(), "cut.gz", &gzip(b"some words, and some more")[..20]);
    assert!(problem(read(&[damaged], None)).contains("cut.gz cannot be unpacked"));
    let parts: Vec<PathBuf> =
        (0..4).map(|i| write(folder.path(), &format!("{i}.txt"), &vec![b'a'; 4 << 20])).collect();
    assert!(problem(read(&parts, None)).contains("4 files have 16.8 MB, the largest"));
}
