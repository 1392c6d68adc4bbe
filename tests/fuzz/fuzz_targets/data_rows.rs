#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;
use maskscope::train::data::{ChatStyle, ReadOptions, read};

const FORMS: [&str; 8] = ["a.txt", "a.jsonl", "a.json", "a.csv", "a.tsv", "a.parquet", "a.txt.gz", "a.jsonl.zst"];

// The first byte chooses the form.
fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let path = common::file(FORMS[usize::from(*first) % FORMS.len()], rest);
    let style = ChatStyle::default();
    let _ = read(&[path], &ReadOptions { column: None, style: &style, memory: 1 << 30 });
});
