//! What a pickle holds once it is read: plain values in one arena, tensors by their description.

use super::classes::Class;

/// Number of a value in its arena.
pub type Id = usize;

/// What a pickle can hold here.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Tuple(Vec<Id>),
    /// Lists and sets.
    List(Vec<Id>),
    /// In order of insertion; a later key replaces an earlier one.
    Dict(Vec<(Id, Id)>),
    Class(Class),
    Storage(Storage),
    Tensor(Described),
    /// Bytes, numbers too long, objects of classes that hold nothing of use.
    Other,
}

/// A run of numbers in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    pub kind: Kind,
    pub key: String,
    /// Number of elements, as the pickle has it.
    pub count: u64,
    /// Where a view begins in it; 0 in newer files.
    pub start: u64,
}

/// Type of a storage's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

impl Kind {
    /// Bytes of one number.
    pub fn width(self) -> u64 {
        match self {
            Kind::F64 | Kind::I64 => 8,
            Kind::F32 | Kind::I32 => 4,
            Kind::F16 | Kind::Bf16 | Kind::I16 => 2,
            Kind::I8 | Kind::U8 | Kind::Bool => 1,
        }
    }

    /// The name of the type in PyTorch.
    pub fn name(self) -> &'static str {
        match self {
            Kind::F64 => "float64",
            Kind::F32 => "float32",
            Kind::F16 => "float16",
            Kind::Bf16 => "bfloat16",
            Kind::I64 => "int64",
            Kind::I32 => "int32",
            Kind::I16 => "int16",
            Kind::I8 => "int8",
            Kind::U8 => "uint8",
            Kind::Bool => "bool",
        }
    }
}

/// A tensor as the file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub storage: Storage,
    /// In elements.
    pub offset: u64,
    pub shape: Vec<usize>,
    pub stride: Vec<u64>,
}

/// A pickle that was read to its end.
#[derive(Debug)]
pub struct Pickle {
    pub arena: Vec<Value>,
    pub root: Id,
    /// Bytes that it took.
    pub length: usize,
}

impl Pickle {
    /// The entries of a dict.
    pub fn entries(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.arena.get(id) {
            Some(Value::Dict(entries)) => Some(entries),
            _ => None,
        }
    }

    /// A text.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.arena.get(id) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The value under `name` in a dict.
    pub fn get(&self, dict: Id, name: &str) -> Option<Id> {
        self.entries(dict)?
            .iter()
            .rev()
            .find(|(key, _)| self.text(*key) == Some(name))
            .map(|(_, value)| *value)
    }
}
