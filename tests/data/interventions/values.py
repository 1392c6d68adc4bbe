"""Logits of the reference model under interventions, by plain torch hooks; writes values.json beside this file.

    python tests/data/interventions/values.py

Made with torch and transformers; the ids are those of `causal.input_ids` in reference.safetensors, the other text has every
third of them exchanged.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import GPT2LMHeadModel

HERE = Path(__file__).parent
MODEL = HERE.parent / "gpt2-tiny-random"
POSITIONS = [20, 39]
SHOWN = 48

model = GPT2LMHeadModel.from_pretrained(MODEL, attn_implementation="eager").eval()
ids = load_file(MODEL / "reference.safetensors")["causal.input_ids"].reshape(1, -1).long()
other_ids = ids.clone()
other_ids[0, 5::3] = (other_ids[0, 5::3] * 7 + 3) % 512
length, heads = ids.shape[1], model.config.n_head
width = model.config.n_embd // heads
blocks = model.transformer.h


def run(which, hooks):
    """The logits with hooks, each (module, function of the first argument or of the attention mask)."""
    handles = []
    for module, change in hooks:
        handles.append(module.register_forward_pre_hook(change, with_kwargs=True))
    with torch.no_grad():
        out = model(which).logits[0]
    for handle in handles:
        handle.remove()
    return out


def blocked(layer, head, cells):
    """Adds minus infinity to the scores of these cells."""

    def change(module, args, kwargs):
        mask = torch.zeros(1, heads, length, length)
        for query, key in cells:
            mask[0, slice(None) if head is None else head, query, key] = torch.finfo(torch.float32).min
        old = kwargs.get("attention_mask")
        kwargs["attention_mask"] = mask if old is None else old + mask
        return args, kwargs

    layers = range(len(blocks)) if layer is None else [layer]
    return [(blocks[i].attn, change) for i in layers]


def head_output(layer, head, to):
    """Exchanges one head's part of what the output projection reads, [1, T, width]."""

    def change(module, args, kwargs):
        x = args[0].clone()
        part = slice(head * width, (head + 1) * width)
        x[..., part] = to(x[..., part])
        return (x, *args[1:]), kwargs

    return [(blocks[layer].attn.c_proj, change)]


def residual(layer, positions, rows):
    """Exchanges rows of the residual stream that goes into a layer."""

    def change(module, args, kwargs):
        if args:
            x = args[0].clone()
            x[0, positions] = rows[positions]
            return (x, *args[1:]), kwargs
        x = kwargs["hidden_states"].clone()
        x[0, positions] = rows[positions]
        kwargs["hidden_states"] = x
        return args, kwargs

    return [(blocks[layer], change)]


def seen(which):
    """Of a plain pass: what goes into each layer, and what each output projection reads, [T, D]."""
    into, mixed = [None] * len(blocks), [None] * len(blocks)
    hooks = []
    for i, block in enumerate(blocks):
        def keep(module, args, kwargs, i=i):
            into[i] = (args[0] if args else kwargs["hidden_states"])[0].clone()

        def keep_mixed(module, args, kwargs, i=i):
            mixed[i] = args[0][0].clone()

        hooks += [(block, keep), (block.attn.c_proj, keep_mixed)]
    run(which, hooks)
    return into, mixed


def mean(x):
    return x.cumsum(1) / torch.arange(1, length + 1).reshape(1, -1, 1)


def patched_head(rows, head, positions):
    def to(x):
        x = x.clone()
        x[0, positions] = rows[positions, head * width : (head + 1) * width]
        return x

    return to


into, mixed = seen(other_ids)
every = list(range(length))
cases = {
    "block 7:2@1.0": blocked(1, 0, [(7, 2)]),
    "block 7:2": blocked(None, None, [(7, 2)]),
    "block 20-24:3-9@0": blocked(0, None, [(q, k) for q in range(20, 25) for k in range(3, 10)]),
    "block all:4": blocked(None, None, [(q, 4) for q in range(5, length)]),
    "block 20:all@1.1": blocked(1, 1, [(20, k) for k in range(20)]),
    "zero 1.0": head_output(1, 0, lambda x: x * 0),
    "gate 0.1=0.5": head_output(0, 1, lambda x: x * 0.5),
    "gate 1.1=2": head_output(1, 1, lambda x: x * 2),
    "mean 0.0": head_output(0, 0, mean),
    "patch 11@1": residual(1, [11], into[1]),
    "patch 5-14@0": residual(0, list(range(5, 15)), into[0]),
    "patch 17@0.1": head_output(0, 1, patched_head(mixed[0], 1, [17])),
    "patch all@1.0": head_output(1, 0, patched_head(mixed[1], 0, every)),
    "patch all@1": residual(1, every, into[1]),
}
values = {name: run(ids, hooks)[POSITIONS, :SHOWN].tolist() for name, hooks in cases.items()}
values["plain"] = run(ids, [])[POSITIONS, :SHOWN].tolist()
rounded = {name: [[round(x, 6) for x in row] for row in rows] for name, rows in values.items()}
out = {"ids": ids[0].tolist(), "other_ids": other_ids[0].tolist(), "positions": POSITIONS, "logits": rounded}
(HERE / "values.json").write_text(json.dumps(out) + "\n")
