"""PyTorch's side of the training comparison: 50 steps with AdamW, full and LoRA, on the tiny checkpoint of the tests.

    python torch_reference.py fixture tests/data/gpt2-tiny-random tests/data/torch_adamw.safetensors
        trains with torch (and PEFT) and writes batches, losses and LoRA's first matrices; tests/torch.rs follows them
    python torch_reference.py check RUN_FOLDER
        loads what maskscope saved in transformers (and its adapter in PEFT) and prints logits' checksum values, to be
        compared with `maskscope trace`; with an adapter, compares merged weights and adapter directly

Needs torch, transformers, peft, safetensors. CPU, f32, dropout 0.
"""

import json
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2LMHeadModel

STEPS, BATCH, CONTEXT = 50, 4, 32
RATE, CLIP, DECAY = 1e-3, 1.0, 0.1


def optimizer(model):
    """AdamW with decay on matrices only, as in nanoGPT and maskscope."""
    moving = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in moving if p.dim() >= 2], "weight_decay": DECAY},
        {"params": [p for p in moving if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.999), eps=1e-8)


def train(model, batches):
    model.train()
    adamw = optimizer(model)
    losses, norms = [], []
    for batch in batches:
        logits = model(batch[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        adamw.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)))
        adamw.step()
        losses.append(float(loss))
    return torch.tensor(losses, dtype=torch.float64), torch.tensor(norms, dtype=torch.float64)


def load(folder):
    model = GPT2LMHeadModel.from_pretrained(folder, torch_dtype=torch.float32, attn_implementation="eager")
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def fixture(folder, out):
    torch.manual_seed(0)
    model = load(folder)
    # Sequences with a pattern to learn: a walk through the vocabulary with a step of its own, and noise.
    n = STEPS * BATCH
    start = torch.randint(0, 512, (n, 1))
    stride = torch.randint(1, 5, (n, 1))
    ids = (start + stride * torch.arange(CONTEXT + 1)) % 512
    noise = torch.rand(ids.shape) < 0.1
    ids[noise] = torch.randint(0, 512, (int(noise.sum()),))
    batches = ids.reshape(STEPS, BATCH, CONTEXT + 1)
    losses, norms = train(model, batches)
    data = {"ids": batches.to(torch.int32), "full.losses": losses.float(), "full.norms": norms.float()}

    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    config = LoraConfig(r=4, lora_alpha=16, target_modules=["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"],
                        fan_in_fan_out=True, task_type="CAUSAL_LM")
    peft = get_peft_model(load(folder), config)
    for name, value in peft.named_parameters():
        if "lora_A" in name:
            site = name.removeprefix("base_model.model.transformer.").removesuffix(".lora_A.default.weight")
            data[f"lora_A.{site}"] = value.detach().clone().contiguous()
    losses, norms = train(peft, batches)
    data |= {"lora.losses": losses.float(), "lora.norms": norms.float()}
    save_file(data, out, metadata={"steps": str(STEPS)})
    print("full:", data["full.losses"][:3].tolist(), "...", data["full.losses"][-1].item())
    print("lora:", data["lora.losses"][:3].tolist(), "...", data["lora.losses"][-1].item())


def check(folder):
    import os

    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    ids = torch.arange(16)[None] * 7 % model.config.vocab_size
    with torch.no_grad():
        logits = model(ids).logits
    # Compared with our own logits, which the test wrote beside it.
    ours = os.path.join(folder, "logits.json")
    if os.path.exists(ours):
        wanted = torch.tensor(json.load(open(ours))).reshape(logits.shape)
        print("merged folder against maskscope, largest difference of logits:", float((logits - wanted).abs().max()))
    newest = sorted(os.listdir(os.path.join(folder, "checkpoints")))[-1]
    adapter = os.path.join(folder, "checkpoints", newest, "adapter")
    if os.path.exists(adapter):
        from peft import PeftModel

        base = json.load(open(os.path.join(adapter, "adapter_config.json")))["base_model_name_or_path"]
        peft = PeftModel.from_pretrained(load(base), adapter).eval()
        with torch.no_grad():
            with_adapter = peft(ids).logits
        print("adapter in PEFT against merged, largest difference of logits:", float((with_adapter - logits).abs().max()))
    events = [f for f in os.listdir(folder) if f.startswith("events.out")]
    if events:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        accumulated = EventAccumulator(folder)
        accumulated.Reload()
        for tag in accumulated.Tags()["scalars"]:
            scalars = accumulated.Scalars(tag)
            print("tensorboard:", tag, len(scalars), "points, last", scalars[-1].step, scalars[-1].value)


if __name__ == "__main__":
    {"fixture": fixture, "check": check}[sys.argv[1]](*sys.argv[2:])
