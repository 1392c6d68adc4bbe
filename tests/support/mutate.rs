//! Mutations that follow from a seed and a number: of bytes, of JSON by its values, of a safetensors header, of a file in a zip.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{Cursor, Read, Write};

use maskscope::support::random::splitmix64;
use serde_json::Value;

/// One case's draws, in order.
pub struct Mutator {
    seed: u64,
    drawn: u64,
}

/// Numbers on the edge of what types hold.
const EDGES: [&str; 18] = [
    "0",
    "-1",
    "1",
    "2",
    "255",
    "65536",
    "2147483647",
    "4294967296",
    "4611686018427387904",
    "9223372036854775807",
    "18446744073709551615",
    "1e308",
    "-1e308",
    "1e-320",
    "0.5",
    "-0.0",
    "123456789012345678901234567890",
    "1e999",
];

/// Values of every type, some of them hard to hold.
fn strange(choice: usize) -> Value {
    match choice {
        0 => Value::Null,
        1 => Value::Bool(true),
        2 => Value::String(String::new()),
        3 => Value::String("x".repeat(200_000)),
        4 => Value::String("\u{202e}\u{1b}[2J\u{0}ﬁ\u{301}👩‍🚀".to_owned()),
        5 => Value::Array(Vec::new()),
        6 => Value::Array(vec![Value::from(7); 3000]),
        7 => Value::Object(serde_json::Map::new()),
        8 => (0..100).fold(Value::from(1), |inner, _| Value::Array(vec![inner])),
        _ => serde_json::json!({"type": "Sequence", "a": [1, "b"]}),
    }
}

impl Mutator {
    pub fn new(seed: u64, case: u64) -> Self {
        Mutator { seed: splitmix64(seed, case), drawn: 0 }
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        splitmix64(self.seed, self.drawn)
    }

    /// Below `n`, which is at least 1.
    pub fn below(&mut self, n: usize) -> usize {
        (self.draw() % n.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One to four changes of bytes.
    pub fn bytes(&mut self, whole: &[u8]) -> Vec<u8> {
        let mut out = whole.to_vec();
        for _ in 0..=self.below(4) {
            self.change(&mut out);
        }
        out
    }

    fn change(&mut self, out: &mut Vec<u8>) {
        if out.is_empty() {
            return out.push(self.draw() as u8);
        }
        let at = self.below(out.len());
        let end = at + self.below((out.len() - at).min(64) + 1);
        match self.below(9) {
            0 => out[at] ^= 1 << self.below(8),
            1 => out[at] = self.draw() as u8,
            2 => out[at] = [0, 0xff, 0x7f, 0x80, b'"', b'{', b'[', b'\n', b'\\'][self.below(9)],
            3 => drop(out.drain(at..end)),
            4 => {
                let part = out[at..end].to_vec();
                let times = 1 + self.below(40);
                out.splice(at..at, part.repeat(times));
            }
            5 => out.truncate(at),
            6 => {
                let more: Vec<u8> = (0..self.below(64)).map(|_| self.draw() as u8).collect();
                out.splice(at..at, more);
            }
            7 => {
                let edge =
                    [0u64, 1, u64::MAX, 1 << 31, 1 << 62, 1 << 63, 0xffff_ffff][self.below(7)].to_le_bytes();
                let end = (at + 8).min(out.len());
                out[at..end].copy_from_slice(&edge[..end - at]);
            }
            _ => {
                let edge = EDGES[self.below(EDGES.len())];
                // In place of a run of digits, where one is near.
                let start = (at..out.len()).find(|&i| out[i].is_ascii_digit()).unwrap_or(at);
                let end = (start..out.len()).find(|&i| !out[i].is_ascii_digit()).unwrap_or(out.len());
                out.splice(start..end, edge.bytes());
            }
        }
    }

    /// A value of a JSON file changed, or its bytes.
    pub fn json(&mut self, whole: &[u8]) -> Vec<u8> {
        let Ok(mut json) = serde_json::from_slice::<Value>(whole) else { return self.bytes(whole) };
        if self.one_in(3) {
            return self.bytes(whole);
        }
        let mut edge = None;
        for _ in 0..=self.below(3) {
            let mut places = 0;
            walk(&mut json, &mut |_| places += 1);
            let (wanted, mut seen) = (self.below(places), 0);
            let choice = self.below(16);
            let number = EDGES[self.below(EDGES.len())];
            walk(&mut json, &mut |value| {
                if seen == wanted {
                    match choice {
                        0..10 => *value = strange(choice),
                        _ => {
                            *value = Value::String("\u{1}edge".to_owned());
                            edge = Some(number);
                        }
                    }
                }
                seen += 1;
            });
        }
        let text = json.to_string();
        // Numbers are written as they are, since JSON's own type does not hold all of them.
        text.replace("\"\\u0001edge\"", edge.unwrap_or("0")).into_bytes()
    }

    /// A header changed, with its length set right or wrong.
    pub fn safetensors(&mut self, whole: &[u8]) -> Vec<u8> {
        if self.one_in(4) || whole.len() < 8 {
            let mut head = whole[..whole.len().min(4000)].to_vec();
            let rest = whole[head.len()..].to_vec();
            self.change(&mut head);
            return [head, rest].concat();
        }
        let length = u64::from_le_bytes(whole[..8].try_into().unwrap_or_default()) as usize;
        let header = self.json(&whole[8..(8 + length).min(whole.len())]);
        let announced = match self.below(12) {
            0 => self.draw(),
            1 => u64::MAX,
            _ => header.len() as u64,
        };
        [&announced.to_le_bytes()[..], &header, whole.get(8 + length..).unwrap_or_default()].concat()
    }

    /// A file in a zip changed, and packed again with the right checksums; or the zip's bytes.
    pub fn zipped(&mut self, whole: &[u8], name: &str) -> Vec<u8> {
        if self.one_in(4) {
            return self.bytes(whole);
        }
        let mut from = zip::ZipArchive::new(Cursor::new(whole)).expect("a zip");
        let mut to = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let stored =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for i in 0..from.len() {
            let mut file = from.by_index(i).expect("an entry");
            let (own, mut bytes) = (file.name().expect("a name").into_owned(), Vec::new());
            file.read_to_end(&mut bytes).expect("its bytes");
            if own.ends_with(name) {
                bytes = self.bytes(&bytes);
            }
            to.start_file(own, stored).expect("zip");
            to.write_all(&bytes).expect("zip");
        }
        to.finish().expect("zip").into_inner()
    }
}

/// Every value of a JSON, outer ones first.
fn walk(value: &mut Value, each: &mut dyn FnMut(&mut Value)) {
    each(value);
    match value {
        Value::Array(list) => list.iter_mut().for_each(|item| walk(item, each)),
        Value::Object(map) => map.values_mut().for_each(|item| walk(item, each)),
        _ => {}
    }
}
