//! Every form against Python's own readers: `tests/bench/peers/data_forms.py` makes the files and writes down what they
//! hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::forms::{self, FORMS, PACKINGS};
use super::read::{Found, ReadOptions, read};
use super::{ChatStyle, Corpus};
use crate::model::Tokenizer;
use crate::model::tokenizer::END_OF_TEXT;

#[derive(Debug, Deserialize)]
struct Expected {
    file: String,
    /// Whether conversations go through the template.
    template: bool,
    documents: usize,
    left_out: usize,
    /// One end-of-text token a document.
    tokens: usize,
    /// Of the documents, a zero byte between them.
    sha256: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/forms")
}

fn style(template: bool) -> ChatStyle {
    let source = std::fs::read_to_string(folder().join("chat_template.jinja")).unwrap();
    let marks = BTreeMap::from([("eos_token".to_owned(), END_OF_TEXT.to_owned())]);
    ChatStyle::new(template.then_some(source.as_str()), marks, Some(END_OF_TEXT.to_owned())).unwrap()
}

fn found(paths: &[PathBuf], style: &ChatStyle) -> Found {
    read(paths, &ReadOptions { column: None, style, memory: 1 << 32 }).unwrap()
}

#[test]
fn every_form_gives_the_documents_and_tokens_that_python_reads() {
    let tokenizer =
        Tokenizer::from_json(include_bytes!("../../../assets/tokenizer.json"), "tokenizer.json").unwrap();
    let expected: Vec<Expected> =
        serde_json::from_slice(&std::fs::read(folder().join("expected.json")).unwrap()).unwrap();
    assert!(expected.len() > 30);
    let mut kinds: Vec<String> = Vec::new();
    for Expected { file, template, documents: wanted, left_out, tokens, sha256 } in &expected {
        let path = folder().join(file);
        let Found { documents, account } = found(std::slice::from_ref(&path), &style(*template));
        let got: Vec<String> = documents.into_iter().map(|document| document.text).collect();
        let corpus = Corpus::new(&got, &tokenizer).unwrap();
        let hash: String = Sha256::digest(got.join("\0")).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            (got.len(), account.without_text + account.refused, corpus.tokens.len(), &hash),
            (*wanted, *left_out, *tokens, sha256),
            "{file}, template {template}: {got:?}"
        );
        kinds.push(forms::extension(&path));
    }
    // What the table names has been read; bars and other spellings of an extension go the same way.
    let read = |extension: &&&str| kinds.iter().any(|kind| kind == **extension);
    let unread: Vec<_> = FORMS.iter().flat_map(|f| f.extensions).filter(|e| !read(e)).collect();
    assert_eq!(unread, [&"md", &"ndjson", &"tab"]);
}

#[test]
fn a_folder_is_read_in_every_form_and_its_empty_files_are_counted() {
    let from = folder();
    let folder = tempfile::tempdir().unwrap();
    for name in
        ["array.json", "packed.jsonl.gz", "packed.json.zst", "semicolon.csv", "quoted.tsv", "text.parquet"]
    {
        std::fs::copy(from.join(name), folder.path().join(name)).unwrap();
    }
    for (name, content) in
        [("a.txt", ""), ("b.jsonl", "\n"), ("c.csv", "text,n\n"), ("d.md", "\u{feff} \n"), ("e.json", "[]")]
    {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    std::fs::write(folder.path().join("picture.png"), b"\x89PNG\0").unwrap();
    let Found { documents, account } = found(&[folder.path().to_owned()], &style(false));
    assert_eq!(documents.len(), 6 + 6 + 6 + 3 + 3 + 2);
    assert_eq!((account.empty_files, account.other_files, account.without_text), (5, 1, 2));
    assert_eq!(
        account.sentences(&style(false)),
        [
            "2 rows without text were left out",
            "5 empty files were left out",
            "1 file of unknown format was left out"
        ]
    );
}

#[test]
fn names_say_the_form_whatever_their_case_and_packing() {
    for (name, extension) in
        [("a/B.JSONL.GZ", "jsonl"), ("x.json", "json"), ("y.zst", ""), ("z.csv.zst", "csv"), ("n", "")]
    {
        assert_eq!(forms::extension(Path::new(name)), extension, "{name}");
    }
    assert!(
        forms::has_columns("data.JSON.gz")
            && !forms::has_columns("data.txt")
            && !forms::has_columns("novels")
    );
    let known = forms::known();
    assert!(FORMS.iter().flat_map(|f| f.extensions).all(|e| known.contains(e)), "{known}");
    assert!(PACKINGS.iter().all(|p| known.contains(p.extension)));
}

#[derive(Debug, Deserialize)]
struct Tokens {
    tokens: usize,
    sha256: String,
    /// The documents twelve times over, as one of some 100 KB.
    long: usize,
    long_sha256: String,
}

#[test]
fn documents_have_the_tokens_of_the_whole_under_every_kind_of_tokenizer() {
    let folder = folder();
    let documents = found(&[folder.join("code.jsonl")], &style(false)).documents;
    let texts: Vec<String> = documents.into_iter().map(|document| document.text).collect();
    let expected: BTreeMap<String, Tokens> =
        serde_json::from_slice(&std::fs::read(folder.join("tokenizers/expected.json")).unwrap()).unwrap();
    assert_eq!(expected.len(), 5);
    let hash = |ids: &[u32]| -> String {
        Sha256::digest(bytemuck::cast_slice::<u32, u8>(ids)).iter().map(|b| format!("{b:02x}")).collect()
    };
    for (kind, expected) in expected {
        let json = std::fs::read(folder.join(format!("tokenizers/{kind}.json"))).unwrap();
        let tokenizer = Tokenizer::from_json(&json, &kind).unwrap();
        let ids: Vec<u32> = texts.iter().flat_map(|text| tokenizer.ids(text).unwrap()).collect();
        assert_eq!((ids.len(), hash(&ids)), (expected.tokens, expected.sha256), "{kind}");
        let long = tokenizer.ids(&vec![texts.join("\n"); 12].join("\n")).unwrap();
        assert_eq!((long.len(), hash(&long)), (expected.long, expected.long_sha256), "{kind}, one document");
    }
}

#[test]
fn documents_end_as_the_files_beside_a_tokenizer_say() {
    let from = folder();
    let texts = found(&[from.join("code.jsonl")], &style(false)).documents;
    let model = tempfile::tempdir().unwrap();
    std::fs::copy(from.join("tokenizers/metaspace.json"), model.path().join("tokenizer.json")).unwrap();
    let ended = |config: &str| {
        std::fs::write(model.path().join("tokenizer_config.json"), config).unwrap();
        let tokenizer = Tokenizer::from_folder(model.path(), &serde_json::Value::Null).unwrap().unwrap();
        (Corpus::new(&texts, &tokenizer).unwrap(), ChatStyle::of(&tokenizer).unwrap())
    };
    let (bare, style) = ended("{}");
    assert_eq!((bare.tokens.len(), bare.eot), (1102, None));
    assert!(style.name().contains("neither chat template nor end-of-text token"), "{}", style.name());
    let (marked, style) = ended(r#"{"eos_token": "</s>"}"#);
    assert_eq!((marked.tokens.len(), marked.documents), (1102 + 60, 60));
    assert!(style.name().starts_with("turns joined by </s>"), "{}", style.name());
    let (_, style) = ended(
        r#"{"eos_token": "</s>", "chat_template": "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"}"#,
    );
    let turn = |text: &str| serde_json::json!({"role": "user", "content": text});
    assert_eq!(style.document(&[turn("a"), turn("b")], 0).unwrap().text, "a</s>b</s>");
}
