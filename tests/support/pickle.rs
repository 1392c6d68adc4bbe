//! Writes a state dict the way `torch.save` does (zip, protocol-2 pickle, one file per storage), so that the reader can be
//! tested without Python.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;

/// One tensor: name, storage class (`FloatStorage`, `HalfStorage`, …), shape, little-endian data.
pub struct Entry {
    pub name: String,
    pub storage: &'static str,
    pub shape: Vec<usize>,
    pub data: Vec<u8>,
}

fn text(out: &mut Vec<u8>, s: &str) {
    out.push(b'X');
    out.extend((s.len() as u32).to_le_bytes());
    out.extend(s.as_bytes());
}

fn int(out: &mut Vec<u8>, n: usize) {
    out.push(b'J');
    out.extend((n as i32).to_le_bytes());
}

fn tuple(out: &mut Vec<u8>, values: &[usize]) {
    out.push(b'(');
    values.iter().for_each(|&v| int(out, v));
    out.push(b't');
}

/// The bytes of a `pytorch_model.bin`.
pub fn write(entries: &[Entry]) -> Vec<u8> {
    let mut p = vec![0x80, 2];
    p.extend(b"ccollections\nOrderedDict\n)R(");
    for (key, e) in entries.iter().enumerate() {
        text(&mut p, &e.name);
        p.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut p, "storage");
        p.extend(format!("ctorch\n{}\n", e.storage).as_bytes());
        text(&mut p, &key.to_string());
        text(&mut p, "cpu");
        let count: usize = e.shape.iter().product();
        int(&mut p, count);
        p.extend(b"tQ");
        int(&mut p, 0);
        tuple(&mut p, &e.shape);
        let strides: Vec<usize> = (0..e.shape.len()).map(|i| e.shape[i + 1..].iter().product()).collect();
        tuple(&mut p, &strides);
        p.push(0x89);
        p.extend(b"ccollections\nOrderedDict\n)RtR");
    }
    p.extend(b"u.");
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("archive/data.pkl", stored).expect("zip");
    zip.write_all(&p).expect("zip");
    for (key, e) in entries.iter().enumerate() {
        zip.start_file(format!("archive/data/{key}"), stored).expect("zip");
        zip.write_all(&e.data).expect("zip");
    }
    zip.finish().expect("zip").into_inner()
}
