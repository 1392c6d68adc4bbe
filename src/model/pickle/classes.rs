//! The classes that a plain checkpoint may name, and what is kept of each. Nothing is ever called: a name that is not
//! listed here ends the reading.

use super::values::Kind;

/// What a class stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Dict,
    /// Lists and sets.
    List,
    /// `torch.Size`.
    Size,
    Tensor,
    Parameter,
    Storage(Kind),
    /// Plain data that no weight lies in.
    Opaque,
}

const LISTED: &[(&str, &str, Class)] = &[
    ("collections", "OrderedDict", Class::Dict),
    ("collections", "defaultdict", Class::Dict),
    ("builtins", "dict", Class::Dict),
    ("__builtin__", "dict", Class::Dict),
    ("builtins", "list", Class::List),
    ("__builtin__", "list", Class::List),
    ("builtins", "set", Class::List),
    ("__builtin__", "set", Class::List),
    ("builtins", "frozenset", Class::List),
    ("torch", "Size", Class::Size),
    ("torch._utils", "_rebuild_tensor", Class::Tensor),
    ("torch._utils", "_rebuild_tensor_v2", Class::Tensor),
    ("torch._utils", "_rebuild_parameter", Class::Parameter),
    ("torch", "DoubleStorage", Class::Storage(Kind::F64)),
    ("torch", "FloatStorage", Class::Storage(Kind::F32)),
    ("torch", "HalfStorage", Class::Storage(Kind::F16)),
    ("torch", "BFloat16Storage", Class::Storage(Kind::Bf16)),
    ("torch", "LongStorage", Class::Storage(Kind::I64)),
    ("torch", "IntStorage", Class::Storage(Kind::I32)),
    ("torch", "ShortStorage", Class::Storage(Kind::I16)),
    ("torch", "CharStorage", Class::Storage(Kind::I8)),
    ("torch", "ByteStorage", Class::Storage(Kind::U8)),
    ("torch", "BoolStorage", Class::Storage(Kind::Bool)),
    // Of training checkpoints: settings, devices, types, numbers.
    ("torch", "device", Class::Opaque),
    ("torch", "float16", Class::Opaque),
    ("torch", "bfloat16", Class::Opaque),
    ("torch", "float32", Class::Opaque),
    ("argparse", "Namespace", Class::Opaque),
    ("builtins", "int", Class::Opaque),
    ("builtins", "float", Class::Opaque),
    ("builtins", "bool", Class::Opaque),
    ("builtins", "complex", Class::Opaque),
    ("_codecs", "encode", Class::Opaque),
    ("numpy", "dtype", Class::Opaque),
    ("numpy", "ndarray", Class::Opaque),
    ("numpy.core.multiarray", "scalar", Class::Opaque),
    ("numpy.core.multiarray", "_reconstruct", Class::Opaque),
    ("numpy._core.multiarray", "scalar", Class::Opaque),
    ("numpy._core.multiarray", "_reconstruct", Class::Opaque),
    ("pathlib", "Path", Class::Opaque),
    ("pathlib", "PosixPath", Class::Opaque),
    ("datetime", "datetime", Class::Opaque),
];

/// The class of this name.
///
/// # Errors
/// One that is not listed, by name.
pub fn class(module: &str, name: &str) -> Result<Class, String> {
    let listed = LISTED.iter().find(|(m, n, _)| *m == module && *n == name).map(|(_, _, class)| *class);
    listed.ok_or_else(|| {
        let full: String = format!("{module}.{name}").chars().take(100).collect();
        format!("names the class {full}, which a plain state dict does not need")
    })
}
