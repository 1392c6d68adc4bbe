//! LoRA adapters as PEFT writes them: `adapter_config.json` and `adapter_model.safetensors`, readable by
//! `PeftModel.from_pretrained`.

use std::path::Path;

use candle_core::Tensor;

use super::SavedDtype;
use super::disk::{Disk, write};
use super::files::{Data, pretty, write_tensors};
use crate::model::family::WeightLayout;
use crate::train::TrainError;
use crate::train::spec::LoraSpec;
use crate::train::trainee::{Site, Trainee};

/// The folder beside a checkpoint's merged weights.
pub const FOLDER: &str = "adapter";

/// Writes the adapters of `trainee` into `folder`, which exists. PEFT stores `A` as `[rank, in]` and `B` as
/// `[out, rank]`, the transposes of ours.
pub fn write_adapter(
    disk: &dyn Disk,
    folder: &Path,
    trainee: &Trainee,
    (lora, base): (&LoraSpec, &str),
) -> Result<(), TrainError> {
    let path = folder.join("adapter_config.json");
    write(disk, &path, pretty(&config(trainee, lora, base))?.as_bytes()).map_err(TrainError::io(&path))?;
    let mut tensors: Vec<(String, Tensor)> = Vec::new();
    let names = trainee.model.config.family.conventions();
    for Site { module, .. } in trainee.sites() {
        let full = names.full_name(module);
        for part in ["lora_A", "lora_B"] {
            let var = trainee
                .var(&format!("{module}.{part}"))
                .ok_or_else(|| TrainError::setup(format!("adapter {module} is missing")))?;
            let turned = var.as_tensor().detach().t()?.contiguous()?;
            tensors.push((format!("base_model.model.{full}.{part}.weight"), turned));
        }
    }
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let data: Vec<(String, Data)> = tensors.iter().map(|(n, t)| (n.clone(), Data::Tensor(t))).collect();
    write_tensors(disk, &folder.join("adapter_model.safetensors"), &data, SavedDtype::F32)
}

fn config(trainee: &Trainee, lora: &LoraSpec, base: &str) -> serde_json::Value {
    let names = trainee.model.config.family.conventions();
    let sites = trainee.sites();
    let targets: Vec<&&str> =
        names.targets.iter().filter(|target| sites.iter().any(|site| site.target == **target)).collect();
    serde_json::json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": targets,
        "fan_in_fan_out": names.layout == WeightLayout::InOut,
        "bias": "none",
        "inference_mode": true,
        "init_lora_weights": true,
        "modules_to_save": null,
    })
}
