//! A LoRA adapter as PEFT saves it (`adapter_config.json`, `adapter_model.safetensors` or `.bin`), added to the weights of
//! its base: `W + scale · (B A)ᵀ` with `A` `[rank, in]`, `B` `[out, rank]`, `scale` `α / rank` or, with rsLoRA,
//! `α / √rank` (2106.09685, 2312.03732; `peft/tuners/lora`).

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::Tensor;
use serde_json::Value;

use super::config::Config;
use super::config_json::fields;
use super::error::ModelError;
use super::family::Conventions;
use super::pickle;
use super::weights::{self, Source};
use crate::support::files::{plain, whole};

/// The file that makes a folder an adapter's.
pub const CONFIG: &str = "adapter_config.json";
/// The adapter's tensors, the better format first.
pub const WEIGHTS: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];

/// What `adapter_config.json` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// `base_model_name_or_path`: an id or a path.
    pub base: String,
    /// `revision` of the base.
    pub revision: Option<String>,
    alpha: f64,
    alphas: BTreeMap<String, f64>,
    rslora: bool,
    /// Modules that were trained whole.
    whole: Vec<String>,
}

impl Adapter {
    /// Reads an `adapter_config.json`; `file` names it in errors.
    ///
    /// # Errors
    /// A kind of adapter other than LoRA, by name; a file without a base.
    pub fn parse(bytes: &[u8], file: &str) -> Result<Self, ModelError> {
        let bad = |problem: String| ModelError::file(file, problem);
        let fields = fields(bytes).map_err(bad)?;
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        match text("peft_type") {
            Some("LORA") => {}
            Some(other) => return Err(bad(format!("peft_type is {other:?}, but only LORA is supported"))),
            None => return Err(bad("peft_type is missing".to_owned())),
        }
        let on = |name: &str| match fields.get(name) {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Object(map)) => !map.is_empty(),
            Some(Value::Array(list)) => !list.is_empty(),
            Some(_) => true,
        };
        for (name, what) in [
            ("use_dora", "DoRA"),
            ("layer_replication", "replicated layers"),
            ("trainable_token_indices", "single trained tokens"),
            ("target_parameters", "adapters on parameters"),
        ] {
            if on(name) {
                return Err(bad(format!("{name} is set: {what} are not supported, only plain LoRA")));
            }
        }
        let base = text("base_model_name_or_path").filter(|base| !base.is_empty());
        let pattern = fields.get("alpha_pattern").and_then(Value::as_object);
        let alphas =
            pattern.into_iter().flatten().filter_map(|(name, alpha)| Some((name.clone(), alpha.as_f64()?)));
        let whole = fields.get("modules_to_save").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        Ok(Adapter {
            base: base
                .ok_or_else(|| {
                    bad("base_model_name_or_path is missing, so the base model is unknown".to_owned())
                })?
                .to_owned(),
            revision: text("revision").map(str::to_owned),
            alpha: fields
                .get("lora_alpha")
                .and_then(Value::as_f64)
                .ok_or_else(|| bad("lora_alpha is missing".to_owned()))?,
            alphas: alphas.collect(),
            rslora: on("use_rslora"),
            whole: whole.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        })
    }

    /// α of a module: that of the first pattern it ends in, else the common one.
    fn alpha_of(&self, module: &str) -> f64 {
        let ends =
            |key: &str| module.strip_suffix(key).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        let plain = |key: &str| key.trim_start_matches('^').trim_end_matches('$').replace("\\.", ".");
        self.alphas.iter().find(|(key, _)| ends(&plain(key))).map_or(self.alpha, |(_, alpha)| *alpha)
    }
}

/// One module's share of the adapter.
#[derive(Default)]
struct Pair {
    a: Option<Tensor>,
    b: Option<Tensor>,
}

/// Adds the adapter in `folder` to the tensors of its base; `config` follows where the adapter parts embeddings and
/// output matrix or brings rows for new tokens.
///
/// # Errors
/// Tensors that are missing, of another shape, or of a kind that is not plain LoRA.
pub fn merge(
    folder: &Path,
    config: &mut Config,
    tensors: &mut HashMap<String, Tensor>,
) -> Result<(), ModelError> {
    let path = folder.join(CONFIG);
    let bytes = plain(&path).and_then(whole).map_err(|e| ModelError::unreadable(&path, &e))?;
    let adapter = Adapter::parse(&bytes, &path.display().to_string())?;
    let (file, stored) = read(folder)?;
    let names = config.family.conventions();
    let mut merge = Merge { file, adapter: &adapter, names, config, tensors };
    let mut pairs: BTreeMap<String, Pair> = BTreeMap::new();
    let mut stored: Vec<(String, Tensor)> = stored.into_iter().collect();
    stored.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, tensor) in stored {
        merge.sort_in(&name, tensor, &mut pairs)?;
    }
    pairs.into_iter().try_for_each(|(name, pair)| merge.add(&name, pair))
}

fn read(folder: &Path) -> Result<(String, HashMap<String, Tensor>), ModelError> {
    let [safe, pickled] = WEIGHTS.map(|name| folder.join(name));
    if safe.is_file() {
        let all = weights::all(&Source::open(&safe)?)?;
        Ok((safe.display().to_string(), all))
    } else if pickled.is_file() {
        Ok((pickled.display().to_string(), pickle::all(&pickled)?))
    } else {
        Err(ModelError::file(
            folder.display().to_string(),
            format!("has no {} and no {}", WEIGHTS[0], WEIGHTS[1]),
        ))
    }
}

struct Merge<'a> {
    file: String,
    adapter: &'a Adapter,
    names: &'static Conventions,
    config: &'a mut Config,
    tensors: &'a mut HashMap<String, Tensor>,
}

impl Merge<'_> {
    fn bad(&self, problem: impl Into<String>) -> ModelError {
        ModelError::file(&self.file, problem)
    }

    /// The model's own name of what a tensor of the adapter belongs to.
    fn own_name(&self, module: &str, part: &str) -> Option<String> {
        let full = format!("{module}.{part}");
        let ends =
            |name: &str| full.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        let expected = self.config.named_parameters().into_iter().map(|parameter| parameter.name);
        expected.chain([self.names.head.to_owned()]).filter(|name| ends(name)).max_by_key(String::len)
    }

    /// A weight trained whole goes in at once, a half of a pair waits for the other.
    fn sort_in(
        &mut self,
        name: &str,
        tensor: Tensor,
        pairs: &mut BTreeMap<String, Pair>,
    ) -> Result<(), ModelError> {
        let halves = [
            (".lora_A.", true),
            (".lora_B.", false),
            (".lora_embedding_A", true),
            (".lora_embedding_B", false),
        ];
        for (mark, is_a) in halves {
            let Some(at) = name.find(mark) else { continue };
            let own = self.own_name(&name[..at], "weight").ok_or_else(|| self.unknown(name))?;
            let pair = pairs.entry(own).or_default();
            *(if is_a { &mut pair.a } else { &mut pair.b }) = Some(tensor);
            return Ok(());
        }
        if name.contains("lora_magnitude_vector") {
            return Err(self.bad(format!("contains {name}: DoRA is not supported, only plain LoRA")));
        }
        let plain = name
            .replace(".base_layer", "")
            .replace(".modules_to_save.default", "")
            .replace(".modules_to_save", "");
        if self.names.other_heads.iter().any(|(part, _)| plain.contains(part)) {
            return Ok(());
        }
        let (module, part) = plain.rsplit_once('.').ok_or_else(|| self.unknown(name))?;
        let own = self.own_name(module, part).ok_or_else(|| self.unknown(name))?;
        self.replace(own, tensor)
    }

    fn unknown(&self, name: &str) -> ModelError {
        self.bad(format!(
            "contains {}, which matches no weight of a {}",
            super::tokenizer::visible(name.as_bytes()),
            self.names.label
        ))
    }

    /// Puts a weight that was trained whole in its place.
    fn replace(&mut self, name: String, tensor: Tensor) -> Result<(), ModelError> {
        let Conventions { embedding, head, .. } = *self.names;
        let embeds = name == embedding || name == head;
        let old = if name == head && self.config.tie_word_embeddings { embedding } else { name.as_str() };
        let known = self.tensors.get(old).cloned().ok_or_else(|| self.unknown(&name))?;
        let fits = known.dims() == tensor.dims() || embeds && tensor.dims().last() == known.dims().last();
        if !fits || tensor.rank() != known.rank() {
            let problem = format!("{name} has shape {:?}, the base's has {:?}", tensor.dims(), known.dims());
            return Err(self.bad(problem));
        }
        let tensor = tensor.to_device(known.device())?;
        if embeds && tensor.dims() != known.dims() {
            // Rows for tokens that were added: both matrices have grown.
            self.config.vocab_size = tensor.dim(0)?;
            self.tensors.insert(embedding.to_owned(), tensor.clone());
        } else if embeds
            && (name == head
                || self.adapter.whole.iter().any(|module| module == embedding.trim_end_matches(".weight")))
        {
            self.part()?;
        }
        if name != head || !self.config.tie_word_embeddings {
            self.tensors.insert(name, tensor);
        }
        Ok(())
    }

    /// Embeddings and output matrix become two, each with the numbers both had.
    fn part(&mut self) -> Result<(), ModelError> {
        if self.config.tie_word_embeddings {
            let embedding = self.names.embedding;
            let shared = self.tensors.get(embedding).cloned().ok_or_else(|| self.unknown(embedding))?;
            self.tensors.insert(self.names.head.to_owned(), shared);
            self.config.tie_word_embeddings = false;
        }
        Ok(())
    }

    fn add(&mut self, name: &str, pair: Pair) -> Result<(), ModelError> {
        let (Some(a), Some(b)) = (pair.a, pair.b) else {
            return Err(self.bad(format!("contains only one of lora_A and lora_B for {name}")));
        };
        let is_head = name == self.names.head;
        if is_head || name == self.names.embedding {
            self.part()?;
        }
        let base = self.tensors.get(name).cloned().ok_or_else(|| self.unknown(name))?;
        let rank = a.dim(0)?;
        let alpha = self.adapter.alpha_of(name.trim_end_matches(".weight"));
        let scale = if self.adapter.rslora { alpha / (rank as f64).sqrt() } else { alpha / rank as f64 };
        let (a, b) = (a.to_device(base.device())?, b.to_device(base.device())?);
        let fits = a.rank() == 2 && b.rank() == 2 && b.dim(1)? == rank;
        // The output matrix is [out, in]; matrices of blocks and embeddings are its transpose.
        let shape = match (fits, is_head) {
            (false, _) => [0, 0],
            (true, true) => [b.dim(0)?, a.dim(1)?],
            (true, false) => [a.dim(1)?, b.dim(0)?],
        };
        if base.dims() != shape {
            let problem = format!(
                "the adapter of {name} has shapes {:?} and {:?}, the base {:?}",
                a.dims(),
                b.dims(),
                base.dims()
            );
            return Err(self.bad(problem));
        }
        let delta =
            if is_head { b.matmul(&a)? } else { a.t()?.contiguous()?.matmul(&b.t()?.contiguous()?)? };
        self.tensors.insert(name.to_owned(), (base + (delta * scale)?)?);
        Ok(())
    }
}
