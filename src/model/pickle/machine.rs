//! The pickle machine (CPython's `Lib/pickletools.py`) as far as PyTorch's files need it. It builds plain values and
//! tensors' descriptions and executes nothing: a class is a name on a short list, and only its data is kept.
//!
//! Values lie in one arena and refer to each other by number, so that a value that is shared is kept once, and neither
//! depth nor cycles cost more than the bytes that describe them.

use std::collections::HashMap;

use super::classes::{Class, class};
use super::values::{Described, Id, Pickle, Storage, Value};

/// Values that one pickle may hold; a training checkpoint with its optimizer's settings has some ten thousand.
const MOST_VALUES: usize = 1 << 20;

/// Values that lists and dicts may be copied into, all copies together.
const MOST_COPIES: usize = 1 << 21;

/// Dimensions of a tensor; PyTorch has no more.
const MOST_DIMENSIONS: usize = 64;

/// Bytes of a storage's key.
const LONGEST_KEY: usize = 1000;

/// Runs one pickle from the start of `bytes`.
///
/// # Errors
/// A class off the list, an opcode that no such file needs, one cut short: in words that follow the file's name.
pub fn run(bytes: &[u8]) -> Result<Pickle, String> {
    let mut machine = Machine {
        bytes,
        at: 0,
        arena: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        copied: 0,
    };
    loop {
        let op = machine.take(1)?[0];
        if op == b'.' {
            let root = machine.pop()?;
            return Ok(Pickle { arena: machine.arena, root, length: machine.at });
        }
        machine.step(op)?;
        if machine.arena.len().max(machine.memo.len()) > MOST_VALUES {
            return Err(format!("holds more than {MOST_VALUES} values, which no checkpoint needs"));
        }
    }
}

const CUT: &str = "cut short";
const EMPTY: &str = "takes a value where there is none";

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    arena: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Values copied from one list into another so far.
    copied: usize,
}

impl<'a> Machine<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.bytes.len()).ok_or(CUT)?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// A little-endian number of `n` ≤ 8 bytes.
    fn unsigned(&mut self, n: usize) -> Result<u64, String> {
        Ok(self.take(n)?.iter().rev().fold(0, |sum, &b| sum << 8 | u64::from(b)))
    }

    fn sized(&mut self, n: usize) -> Result<&'a [u8], String> {
        let length = usize::try_from(self.unsigned(n)?).map_err(|_| CUT)?;
        self.take(length)
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&b| b == b'\n').ok_or(CUT)?;
        self.at += end + 1;
        Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
    }

    fn push(&mut self, value: Value) {
        self.arena.push(value);
        self.stack.push(self.arena.len() - 1);
    }

    fn pop(&mut self) -> Result<Id, String> {
        if self.marks.last().is_some_and(|mark| *mark == self.stack.len()) {
            return Err(EMPTY.to_owned());
        }
        self.stack.pop().ok_or_else(|| EMPTY.to_owned())
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(|| EMPTY.to_owned())
    }

    fn popped(&mut self, n: usize) -> Result<Vec<Id>, String> {
        let mut all = (0..n).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        all.reverse();
        Ok(all)
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or(EMPTY)?;
        Ok(self.stack.split_off(mark))
    }

    fn text(&mut self, bytes: &[u8]) {
        self.push(Value::Text(String::from_utf8_lossy(bytes).into_owned()));
    }

    fn step(&mut self, op: u8) -> Result<(), String> {
        match op {
            // Protocol and frame: nothing to keep.
            0x80 => self.take(1).map(|_| ())?,
            0x95 => self.take(8).map(|_| ())?,
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'K' => self.int(1)?,
            b'M' => self.int(2)?,
            b'J' => {
                let n = self.unsigned(4)? as u32;
                self.push(Value::Int(i64::from(n.cast_signed())));
            }
            0x8a => {
                let length = self.unsigned(1)?;
                self.long(length as usize)?;
            }
            b'G' => {
                let bytes: [u8; 8] = self.take(8)?.try_into().map_err(|_| CUT)?;
                self.push(Value::Float(f64::from_be_bytes(bytes)));
            }
            b'X' => self.sized(4).map(|text| self.text(text))?,
            b'T' => self.sized(4).map(|text| self.text(text))?,
            0x8c | b'U' => self.sized(1).map(|text| self.text(text))?,
            b'B' => self.sized(4).map(|_| self.push(Value::Other))?,
            b'C' => self.sized(1).map(|_| self.push(Value::Other))?,
            _ => return self.step_on_values(op),
        }
        Ok(())
    }

    fn int(&mut self, n: usize) -> Result<(), String> {
        let value = self.unsigned(n)?;
        self.push(Value::Int(value.cast_signed()));
        Ok(())
    }

    /// Two's complement; numbers of more than 64 bits are kept as nothing.
    fn long(&mut self, length: usize) -> Result<(), String> {
        let bytes = self.take(length)?;
        let value = if length > 8 {
            Value::Other
        } else {
            let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
            let mut whole = if negative { [0xff; 8] } else { [0; 8] };
            whole[..length].copy_from_slice(bytes);
            Value::Int(i64::from_le_bytes(whole))
        };
        self.push(value);
        Ok(())
    }

    fn step_on_values(&mut self, op: u8) -> Result<(), String> {
        match op {
            b')' => self.push(Value::Tuple(Vec::new())),
            b']' | 0x8f => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            b'(' => self.marks.push(self.stack.len()),
            0x85..=0x87 => {
                let items = self.popped(usize::from(op - 0x84))?;
                self.push(Value::Tuple(items));
            }
            b't' | 0x91 => {
                let items = self.since_mark()?;
                self.push(Value::Tuple(items));
            }
            b'l' => {
                let items = self.since_mark()?;
                self.push(Value::List(items));
            }
            b'd' => {
                let items = self.since_mark()?;
                self.push(Value::Dict(pairs(&items)?));
            }
            b'0' => self.pop().map(|_| ())?,
            b'1' => self.since_mark().map(|_| ())?,
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'q' => self.remember(1)?,
            b'r' => self.remember(4)?,
            0x94 => {
                let (next, top) = (self.memo.len() as u32, self.top()?);
                self.memo.insert(next, top);
            }
            b'h' => self.recall(1)?,
            b'j' => self.recall(4)?,
            _ => return self.step_on_objects(op),
        }
        Ok(())
    }

    fn remember(&mut self, n: usize) -> Result<(), String> {
        let (place, top) = (self.unsigned(n)? as u32, self.top()?);
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, n: usize) -> Result<(), String> {
        let place = self.unsigned(n)? as u32;
        let known = self.memo.get(&place).ok_or("refers to a value that was never kept")?;
        self.stack.push(*known);
        Ok(())
    }

    fn step_on_objects(&mut self, op: u8) -> Result<(), String> {
        match op {
            b'a' => {
                let item = self.pop()?;
                self.extend(&[item])?;
            }
            b'e' | 0x90 => {
                let items = self.since_mark()?;
                self.extend(&items)?;
            }
            b's' => {
                let items = self.popped(2)?;
                self.set(&items)?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set(&items)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Class(class(&module, &name)?));
            }
            0x93 => {
                let both = self.popped(2)?;
                let part = |id: Id| match &self.arena[id] {
                    Value::Text(text) => Ok(text.clone()),
                    _ => Err("names a class by something other than a text".to_owned()),
                };
                let found = class(&part(both[0])?, &part(both[1])?)?;
                self.push(Value::Class(found));
            }
            b'R' | 0x81 => {
                let both = self.popped(2)?;
                self.count_copies(both[1])?;
                let made = self.call(both[0], both[1])?;
                self.push(made);
            }
            b'Q' => {
                let told = self.pop()?;
                let storage = self.storage(told)?;
                self.push(Value::Storage(storage));
            }
            b'b' => {
                // The state of an object: attributes of an OrderedDict, which hold versions and no weights.
                self.pop()?;
            }
            other => {
                return Err(format!("uses opcode 0x{other:02x}, which a plain state dict does not need"));
            }
        }
        Ok(())
    }

    fn extend(&mut self, items: &[Id]) -> Result<(), String> {
        let top = self.top()?;
        match &mut self.arena[top] {
            Value::List(list) => list.extend_from_slice(items),
            Value::Other => {}
            _ => return Err("appends to something that is not a list".to_owned()),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Id]) -> Result<(), String> {
        let (top, new) = (self.top()?, pairs(items)?);
        match &mut self.arena[top] {
            Value::Dict(dict) => dict.extend(new),
            Value::Other => {}
            _ => return Err("sets an entry of something that is not a dict".to_owned()),
        }
        Ok(())
    }

    fn tuple(&self, id: Id) -> Result<&[Id], String> {
        match &self.arena[id] {
            Value::Tuple(items) => Ok(items),
            _ => Err("has no tuple where one belongs".to_owned()),
        }
    }

    fn count(&self, id: Option<&Id>) -> Result<u64, String> {
        match id.map(|id| &self.arena[*id]) {
            Some(Value::Int(n)) => u64::try_from(*n).map_err(|_| "has a negative size".to_owned()),
            _ => Err("has no number where a size belongs".to_owned()),
        }
    }

    fn counts(&self, id: Option<&Id>) -> Result<Vec<u64>, String> {
        let items = self.tuple(*id.ok_or("has a tensor without a shape")?)?;
        if items.len() > MOST_DIMENSIONS {
            return Err(format!("has a tensor of {} dimensions, more than {MOST_DIMENSIONS}", items.len()));
        }
        items.iter().map(|item| self.count(Some(item))).collect()
    }

    /// Counts what a call copies: a list is short in the file and may be copied many times.
    fn count_copies(&mut self, arguments: Id) -> Result<(), String> {
        let first = self.tuple(arguments)?.first().map(|id| &self.arena[*id]);
        self.copied += match first {
            Some(Value::List(items) | Value::Tuple(items)) => items.len(),
            _ => 0,
        };
        if self.copied > MOST_COPIES {
            return Err("makes more copies of its lists than any checkpoint needs".to_owned());
        }
        Ok(())
    }

    /// What a class makes of its arguments, as data.
    fn call(&self, class: Id, arguments: Id) -> Result<Value, String> {
        let Value::Class(class) = &self.arena[class] else {
            return Err("calls something that is not a class".to_owned());
        };
        let given = self.tuple(arguments)?;
        match class {
            Class::Dict => Ok(match given.first().map(|id| &self.arena[*id]) {
                // OrderedDict([[key, value], …]), as protocol 0 and 1 write it.
                Some(Value::List(items)) => {
                    let pair = |id: &Id| match &self.arena[*id] {
                        Value::List(pair) | Value::Tuple(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
                        _ => Err("has an OrderedDict of something other than pairs".to_owned()),
                    };
                    Value::Dict(items.iter().map(pair).collect::<Result<_, _>>()?)
                }
                _ => Value::Dict(Vec::new()),
            }),
            Class::List => Ok(match given.first().map(|id| &self.arena[*id]) {
                Some(Value::List(items) | Value::Tuple(items)) => Value::List(items.clone()),
                _ => Value::List(Vec::new()),
            }),
            Class::Size => Ok(match given.first().map(|id| &self.arena[*id]) {
                Some(Value::Tuple(items) | Value::List(items)) => Value::Tuple(items.clone()),
                _ => Value::Tuple(Vec::new()),
            }),
            Class::Tensor => self.tensor(given).map(Value::Tensor),
            Class::Parameter => match given.first().map(|id| &self.arena[*id]) {
                Some(Value::Tensor(tensor)) => Ok(Value::Tensor(tensor.clone())),
                _ => Ok(Value::Other),
            },
            Class::Storage(_) | Class::Opaque => Ok(Value::Other),
        }
    }

    /// `_rebuild_tensor_v2(storage, offset, size, stride, …)`.
    fn tensor(&self, given: &[Id]) -> Result<Described, String> {
        let Some(Value::Storage(storage)) = given.first().map(|id| &self.arena[*id]) else {
            return Err("has a tensor without a storage".to_owned());
        };
        let sizes = self.counts(given.get(2))?;
        let shape = sizes.iter().map(|&n| usize::try_from(n).map_err(|_| "has an absurd size".to_owned()));
        let stride = self.counts(given.get(3))?;
        let described = Described {
            storage: storage.clone(),
            offset: self.count(given.get(1))?,
            shape: shape.collect::<Result<_, _>>()?,
            stride,
        };
        if described.shape.len() != described.stride.len() {
            return Err("has a tensor whose shape and strides do not fit".to_owned());
        }
        Ok(described)
    }

    /// `("storage", class, key, location, count[, view])`, PyTorch's only persistent id.
    fn storage(&self, told: Id) -> Result<Storage, String> {
        let parts = self.tuple(told)?;
        let value = |at: usize| parts.get(at).map(|id| &self.arena[*id]);
        let (Some(Value::Text(what)), Some(Value::Class(Class::Storage(kind))), Some(key)) =
            (value(0), value(1), value(2))
        else {
            return Err("refers to something outside that is not a storage".to_owned());
        };
        let key = match key {
            Value::Text(key) if key.len() > LONGEST_KEY => {
                return Err(format!("has a storage with a name of {} bytes", key.len()));
            }
            Value::Text(key) => key.clone(),
            Value::Int(key) => key.to_string(),
            _ => return Err("has a storage without a key".to_owned()),
        };
        if what != "storage" {
            return Err(format!("refers to a {what:?} outside, which a plain state dict does not need"));
        }
        // Files older than 1.6 may name a view of a storage: its key, where it begins, how long it is.
        let start = match value(5) {
            Some(Value::Tuple(view)) => self.count(view.get(1))?,
            _ => 0,
        };
        Ok(Storage { kind: *kind, key, count: self.count(parts.get(4))?, start })
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    if !items.len().is_multiple_of(2) {
        return Err("has a key without a value".to_owned());
    }
    Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
