//! A `config.json` read field by field and written again: which kind of model it is of, what its fields are called, which
//! values stand for which. After transformers' `GPT2Config` (5.23), but for sizes: those are never taken from defaults.

use serde_json::{Map, Value, json};

use super::config::Config;

/// The fields of a `config.json`.
pub type Fields = Map<String, Value>;

/// GPT-2's name of a size, and the name that every family has for it (`attribute_map`). Where a file has both,
/// transformers goes by the second.
const ALIASES: [(&str, &str); 4] = [
    ("n_embd", "hidden_size"),
    ("n_layer", "num_hidden_layers"),
    ("n_head", "num_attention_heads"),
    ("n_positions", "max_position_embeddings"),
];

/// Long texts from a file are cut in messages.
const SHOWN: usize = 60;

/// The fields, or what the file is instead, in words that follow its name.
pub fn fields(bytes: &[u8]) -> Result<Fields, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii();
    if bytes.is_empty() {
        return Err("empty".to_owned());
    }
    if bytes.starts_with(b"version https://git-lfs") {
        return Err("a Git LFS pointer, not the file itself: the clone was made without Git LFS".to_owned());
    }
    if bytes.starts_with(b"<") {
        return Err("an HTML or XML page, not a configuration".to_owned());
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(format!("{} and not an object with fields", kind_of(&other))),
        Err(e) => Err(format!("not valid JSON: {e}")),
    }
}

/// What kind of JSON value this is.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A value as it appears in a message.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A field that is there and not null.
fn given<'a>(fields: &'a Fields, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

fn text<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    given(fields, name).and_then(Value::as_str)
}

/// What network this is where it is not GPT-2's, in words that follow the file's name.
pub fn foreign(fields: &Fields) -> Option<String> {
    if let Some(kind) = text(fields, "attention_head_type").filter(|kind| *kind != "multihead") {
        return Some(format!(
            "attention_head_type is {kind:?}: heads that share keys and values are another network"
        ));
    }
    let custom = given(fields, "auto_map").and_then(Value::as_object).and_then(|map| {
        map.iter()
            .find(|(part, _)| part.starts_with("AutoModel") || *part == "AutoConfig")
            .map(|(_, code)| code)
    });
    match text(fields, "model_type") {
        Some("gpt2") => {}
        Some(other) => return Some(format!("model_type is {other:?}, not \"gpt2\"")),
        None => {
            if let Some(found) = without_type(fields) {
                return Some(found);
            }
        }
    }
    if let Some(code) = custom {
        return Some(format!("auto_map names code of its own, {}: another network than GPT-2", shown(code)));
    }
    if given(fields, "add_cross_attention").and_then(Value::as_bool) == Some(true) {
        return Some("add_cross_attention is true: a decoder without its encoder".to_owned());
    }
    if given(fields, "pruned_heads").and_then(Value::as_object).is_some_and(|heads| !heads.is_empty()) {
        return Some("pruned_heads is not empty: models with heads cut out do not open".to_owned());
    }
    given(fields, "quantization_config").map(|how| {
        let method = how.get("quant_method").and_then(Value::as_str).unwrap_or("an unnamed method");
        format!("quantization_config: the weights are quantised by {method}; only f32, f16 and bf16 open")
    })
}

/// The same for a file from before `model_type`: `architectures` and the names of the sizes tell.
fn without_type(fields: &Fields) -> Option<String> {
    let names = given(fields, "architectures").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let stranger = |name: &&Value| !name.as_str().unwrap_or_default().contains("GPT2");
    if let Some(other) = names.iter().find(stranger) {
        return Some(format!("model_type is missing and architectures names {}, not a GPT-2", shown(other)));
    }
    if fields.contains_key("afn") {
        return Some("afn in place of activation_function: this is GPT-1, another network".to_owned());
    }
    let sized = |name: &str| fields.contains_key(name);
    if names.is_empty() && !["n_layer", "n_head", "n_embd"].iter().all(|name| sized(name)) {
        return Some(
            "model_type is missing, and so are GPT-2's fields n_layer, n_head and n_embd".to_owned(),
        );
    }
    None
}

/// A whole number, also where it is written as `64.0`.
fn whole(name: &str, value: &Value) -> Result<usize, String> {
    let float = || value.as_f64().filter(|x| *x >= 0.0 && x.fract() == 0.0 && *x < 1e15).map(|x| x as usize);
    (value.as_u64().and_then(|n| usize::try_from(n).ok()))
        .or_else(float)
        .ok_or_else(|| format!("{name} is {}, not a whole number", shown(value)))
}

/// A size that must be there, by any of its names.
fn size(fields: &Fields, name: &str) -> Result<usize, String> {
    let alias = ALIASES.iter().find(|(own, _)| *own == name).map(|(_, alias)| *alias);
    // The old name of the number of positions is often out of date beside the new one.
    let old = (name == "n_positions").then_some("n_ctx");
    let names = [alias, Some(name), old];
    let found = names.into_iter().flatten().find_map(|name| Some((name, given(fields, name)?)));
    let (name, value) = found.ok_or_else(|| match fields.get(name) {
        Some(_) => format!("{name} is null"),
        None => format!("{name} is missing"),
    })?;
    whole(name, value)
}

fn switch(fields: &Fields, name: &str, default: bool) -> Result<bool, String> {
    match given(fields, name) {
        None => Ok(default),
        Some(Value::Bool(on)) => Ok(*on),
        Some(Value::Number(n)) if n.as_f64() == Some(0.0) => Ok(false),
        Some(Value::Number(n)) if n.as_f64() == Some(1.0) => Ok(true),
        Some(other) => Err(format!("{name} is {}, not true or false", shown(other))),
    }
}

fn number(fields: &Fields, name: &str, default: f64) -> Result<f64, String> {
    let Some(value) = given(fields, name) else { return Ok(default) };
    value.as_f64().ok_or_else(|| format!("{name} is {}, not a number", shown(value)))
}

/// The ids in a token field: a number or a list of them; what is no id is left out.
pub fn token_ids(value: Option<&Value>) -> Vec<u32> {
    let id = |value: &Value| whole("", value).ok().and_then(|id| u32::try_from(id).ok());
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(id).collect(),
        Some(one) => id(one).into_iter().collect(),
        None => Vec::new(),
    }
}

impl TryFrom<Fields> for Config {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let activation = match given(&fields, "activation_function") {
            None => "gelu_new".to_owned(),
            Some(Value::String(name)) => name.clone(),
            Some(other) => return Err(format!("activation_function is {}, not a name", shown(other))),
        };
        let n_inner = given(&fields, "n_inner").map(|n| whole("n_inner", n)).transpose()?;
        let first = |name: &str| token_ids(fields.get(name)).first().copied();
        let mut config = Config {
            vocab_size: size(&fields, "vocab_size")?,
            n_positions: size(&fields, "n_positions")?,
            n_embd: size(&fields, "n_embd")?,
            n_layer: size(&fields, "n_layer")?,
            n_head: size(&fields, "n_head")?,
            n_inner,
            activation_function: activation,
            layer_norm_epsilon: number(&fields, "layer_norm_epsilon", 1e-5)?,
            scale_attn_weights: switch(&fields, "scale_attn_weights", true)?,
            scale_attn_by_inverse_layer_idx: switch(&fields, "scale_attn_by_inverse_layer_idx", false)?,
            reorder_and_upcast_attn: switch(&fields, "reorder_and_upcast_attn", false)?,
            tie_word_embeddings: switch(&fields, "tie_word_embeddings", true)?,
            initializer_range: number(&fields, "initializer_range", 0.02)?,
            bos_token_id: first("bos_token_id"),
            eos_token_id: first("eos_token_id"),
            other: Fields::new(),
        };
        config.other = fields;
        config.other.retain(|name, _| !ALIASES.iter().any(|(_, alias)| alias == name));
        for name in own(&config).keys().filter(|name| !name.ends_with("token_id")) {
            config.other.remove(name);
        }
        // Switches that no computation needs, and that transformers takes only as true or false.
        config.other.retain(|name, value| {
            !(value.is_null() && ["add_cross_attention", "use_cache"].contains(&name.as_str()))
        });
        Ok(config)
    }
}

/// The fields that this program knows, under GPT-2's names.
fn own(config: &Config) -> Fields {
    let fields = json!({
        "model_type": "gpt2",
        "vocab_size": config.vocab_size,
        "n_positions": config.n_positions,
        "n_embd": config.n_embd,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "n_inner": config.n_inner,
        "activation_function": config.activation_function,
        "layer_norm_epsilon": config.layer_norm_epsilon,
        "scale_attn_weights": config.scale_attn_weights,
        "scale_attn_by_inverse_layer_idx": config.scale_attn_by_inverse_layer_idx,
        "reorder_and_upcast_attn": config.reorder_and_upcast_attn,
        "tie_word_embeddings": config.tie_word_embeddings,
        "initializer_range": config.initializer_range,
        "bos_token_id": config.bos_token_id,
        "eos_token_id": config.eos_token_id,
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Fields::new(),
    }
}

impl From<Config> for Fields {
    fn from(config: Config) -> Self {
        let mut all = own(&config);
        for (name, id) in [("bos_token_id", config.bos_token_id), ("eos_token_id", config.eos_token_id)] {
            // As the file wrote it, unless somebody set another; absent where it was absent.
            let written = config.other.get(name);
            if token_ids(written).first().copied() == id {
                match written {
                    Some(value) => all.insert(name.to_owned(), value.clone()),
                    None => all.remove(name),
                };
            }
        }
        for (name, value) in config.other {
            all.entry(name).or_insert(value);
        }
        all
    }
}
