"""Writes tests/data/checkpoints: small models in every form that PyTorch, PEFT and nanoGPT leave behind, with their losses.

    python tests/bench/peers/odd_checkpoints.py tests/data/checkpoints

`losses.json` holds what transformers (and PEFT) computes for IDS on each.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel

IDS = [3, 1, 4, 1, 5, 9, 2, 6]
SIZES = dict(vocab_size=13, n_positions=8, n_embd=8, n_layer=2, n_head=2)


def fresh(seed, **more):
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(GPT2Config(**SIZES, bos_token_id=0, eos_token_id=0, **more)).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.randn_like(p) * 0.3 + (1.0 if "ln_" in name and name.endswith("weight") else 0.0))
    return model


def loss(model):
    with torch.no_grad():
        return model(torch.tensor([IDS]), labels=torch.tensor([IDS])).loss.item()


def config(folder, **more):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", **SIZES, **more}))


def nanogpt(model, biases):
    """nanoGPT's own names and layout: nn.Linear keeps [out, in]."""
    state = {}
    for name, p in model.state_dict().items():
        if not biases and name.endswith(".bias"):
            continue
        turned = any(part in name for part in ("c_attn.weight", "c_proj.weight", "c_fc.weight"))
        state["_orig_mod." + name] = p.t().contiguous() if turned else p.clone()
    state["_orig_mod.lm_head.weight"] = state["_orig_mod.transformer.wte.weight"]
    if biases:
        state["_orig_mod.transformer.h.0.attn.bias"] = torch.ones(1, 1, 8, 8).tril()
    args = dict(n_layer=2, n_head=2, n_embd=8, block_size=8, bias=biases, vocab_size=13, dropout=0.0)
    parameters = [torch.nn.Parameter(p.clone()) for p in state.values() if p.dim() > 1]
    optimizer = torch.optim.AdamW(parameters[:2], lr=1e-3)
    sum((p**2).sum() for p in parameters).backward()
    optimizer.step()
    return {
        "model": state,
        "optimizer": optimizer.state_dict(),
        "model_args": args,
        "iter_num": 2000,
        "best_val_loss": torch.tensor(1.5),
        "config": {"out_dir": "out", "learning_rate": 1e-3, "compile": True, "wandb_log": False},
    }


def main():
    out = Path(sys.argv[1])
    shutil.rmtree(out, ignore_errors=True)
    losses = {}

    base = fresh(1)
    config(out / "base", tie_word_embeddings=True)
    save_file({k: v.clone() for k, v in base.transformer.state_dict().items()}, out / "base/model.safetensors")
    losses["base"] = loss(base)

    # PyTorch older than 1.6; the second one with half precision, a shared storage and a transposed view.
    config(out / "legacy")
    torch.save(base.state_dict(), out / "legacy/pytorch_model.bin", _use_new_zipfile_serialization=False)
    losses["legacy"] = loss(base)
    for name, old in (("views-old", False), ("views", True)):
        config(out / name)
        flat = torch.cat([p.flatten() for p in base.transformer.state_dict().values()]).half()
        state, at = {}, 0
        for key, p in base.transformer.state_dict().items():
            view = flat[at : at + p.numel()].view(p.shape)
            at += p.numel()
            state["module." + key] = view
        key = "module.h.0.mlp.c_fc.weight"
        state[key] = state[key].t().contiguous().t()
        torch.save(state, out / name / "pytorch_model.bin", _use_new_zipfile_serialization=old)
        half = fresh(1)
        half.load_state_dict({k: v.half().float() for k, v in half.state_dict().items()})
        losses[name] = loss(half)

    # An output matrix of its own, although the configuration says tied.
    config(out / "own-head", tie_word_embeddings=True)
    own = fresh(2, tie_word_embeddings=False)
    save_file({"_orig_mod." + k: v.clone() for k, v in own.state_dict().items()}, out / "own-head/model.safetensors")
    losses["own-head"] = loss(own)

    for name, biases in (("nanogpt", True), ("nanogpt-without-biases", False)):
        model = fresh(3, activation_function="gelu")
        if not biases:
            with torch.no_grad():
                [p.zero_() for n, p in model.named_parameters() if n.endswith(".bias")]
        (out / name).mkdir()
        torch.save(nanogpt(model, biases), out / name / "ckpt.pt")
        losses[name] = loss(model)

    adapters = {
        "lora": dict(r=2, lora_alpha=6, target_modules=["c_attn", "c_fc"]),
        "lora-patterns": dict(
            r=2, lora_alpha=6, target_modules=["c_attn", "c_proj", "wte"], use_rslora=True,
            rank_pattern={"h.1.mlp.c_proj": 3}, alpha_pattern={"h.0.attn.c_attn": 9, "mlp.c_proj": 2},
        ),
        "lora-head": dict(r=2, lora_alpha=4, target_modules=["c_attn"], modules_to_save=["lm_head"], bias="all"),
        "lora-on-head": dict(r=3, lora_alpha=4, target_modules=["lm_head"]),
    }
    for name, how in adapters.items():
        torch.manual_seed(11)
        model = fresh(1)
        peft = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **how)).eval()
        with torch.no_grad():
            for n, p in peft.named_parameters():
                if "lora_" in n or "modules_to_save" in n or p.requires_grad:
                    p.add_(torch.randn_like(p) * 0.2)
        peft.save_pretrained(out / name)
        told = json.loads((out / name / "adapter_config.json").read_text())
        told["base_model_name_or_path"] = "../base"
        (out / name / "adapter_config.json").write_text(json.dumps(told, indent=1))
        (out / name / "README.md").unlink(missing_ok=True)
        losses[name] = loss(PeftModel.from_pretrained(fresh(1), out / name).eval())
    pickled = out / "lora-pickled"
    shutil.copytree(out / "lora", pickled)
    from safetensors.torch import load_file

    torch.save(load_file(pickled / "adapter_model.safetensors"), pickled / "adapter_model.bin")
    (pickled / "adapter_model.safetensors").unlink()
    losses["lora-pickled"] = losses["lora"]
    (out / "losses.json").write_text(json.dumps(losses, indent=1) + "\n")


main()
