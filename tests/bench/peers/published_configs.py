"""Published configurations, each as a miniature, against transformers.

    python tests/bench/peers/published_configs.py CONFIGS FACTS MASKSCOPE [FILTER]

CONFIGS is a folder of folders `<owner>__<name>` with a `config.json`; FACTS a JSON file that maps `owner/name` to
`expect` (open, note, either, refuse), `cause` (what a refusal names, alternatives joined by |) and `layout` (prefix,
lm_head, buffers, extra); MASKSCOPE the program. A miniature keeps every field but the sizes: fewer and narrower layers,
a smaller vocabulary and fewer positions, the same ratios of head width and MLP width. Its weights are random, no bias is
0, no gain is 1. The loss on some ids is compared within 1e-5; a refusal must name its cause.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel


def miniature(config):
    """The same fields with small sizes; n_inner keeps its ratio to n_embd."""
    small = dict(config)
    heads = min(config["n_head"], 5 if config["n_head"] % 5 == 0 else 4)
    width = min(config["n_embd"] // config["n_head"], 8)
    small["n_head"], small["n_embd"] = heads, heads * width
    small["n_layer"] = min(config["n_layer"], 3)
    if config.get("n_inner"):
        small["n_inner"] = max(1, round(config["n_inner"] / config["n_embd"] * heads * width))
    small["vocab_size"] = min(config["vocab_size"], 97)
    for name in ("n_positions", "n_ctx"):
        if name in config:
            small[name] = min(config[name], 32)
    return small


def weights(model, layout, dtype):
    torch.manual_seed(7)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.randn_like(p) * 0.08 + (1.0 if "ln_" in name and name.endswith("weight") else 0.0))
            p.copy_(p.to(dtype).float())
    trunk = {k: v.contiguous() for k, v in model.transformer.state_dict().items()}
    prefix = layout.get("prefix", "transformer.")
    state = {prefix + k: v.to(dtype) for k, v in trunk.items()}
    if layout.get("lm_head"):
        state["lm_head.weight"] = model.lm_head.weight.detach().clone().to(dtype)
    n = model.config.n_positions
    for layer in range(model.config.n_layer):
        if "attn.bias" in layout.get("buffers", ""):
            state[f"{prefix}h.{layer}.attn.bias"] = torch.ones(1, 1, n, n, dtype=torch.uint8).tril()
        if "masked_bias" in layout.get("buffers", ""):
            state[f"{prefix}h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    if layout.get("extra"):
        state[layout["extra"]] = torch.randn(1, model.config.n_embd)
    return state


def run(program, folder, ids):
    line = [program, "predict", "--model", str(folder), "--ids", ",".join(map(str, ids)), "--json", "--device", "cpu"]
    return subprocess.run(line, capture_output=True, text=True, timeout=120)


def opened(program, config, layout, dtype, folder):
    small = miniature(config)
    (folder / "config.json").write_text(json.dumps(small))
    known = {k: v for k, v in small.items() if k not in ("model_type", "torch_dtype", "dtype", "architectures", "n_ctx")}
    model = GPT2LMHeadModel(GPT2Config(**known)).eval()
    state = weights(model, layout, dtype)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    ids = [(i * 29 + 3) % small["vocab_size"] for i in range(min(20, small["n_positions"]))]
    with torch.no_grad():
        loss = model(torch.tensor([ids]), labels=torch.tensor([ids])).loss.item()
    done = run(program, folder, ids)
    if done.returncode != 0:
        return f"refused: {done.stderr.strip()}"
    apart = abs(json.loads(done.stdout)["loss"] - loss)
    return None if apart < 1e-5 else f"loss apart by {apart:.2e}"


def refused(program, text, cause, folder):
    (folder / "config.json").write_text(text)
    (folder / "model.safetensors").write_bytes(b"")
    done = run(program, folder, [1, 2, 3])
    named = any(word.lower() in done.stderr.lower() for word in cause.split("|"))
    return None if done.returncode != 0 and named else f"exit {done.returncode}: {done.stderr.strip()}"


def main():
    folders, facts, program = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()), sys.argv[3]
    wanted = sys.argv[4] if len(sys.argv) > 4 else ""
    counts = {"agree": 0, "refused by cause": 0, "wrong": 0}
    for name, fact in facts.items():
        if wanted not in name:
            continue
        text = (folders / name.replace("/", "__") / "config.json").read_text()
        dtype = {"bf16": torch.bfloat16, "f16": torch.float16}.get(fact.get("dtype"), torch.float32)
        with tempfile.TemporaryDirectory() as folder:
            open_it = lambda: opened(program, json.loads(text), fact.get("layout") or {}, dtype, Path(folder))
            refuse_it = lambda: refused(program, text, fact["cause"], Path(folder))
            if fact["expect"] in ("open", "note"):
                problem, kind = open_it(), "agree"
            elif fact["expect"] == "refuse":
                problem, kind = refuse_it(), "refused by cause"
            else:
                problem, kind = refuse_it(), "refused by cause"
                if problem:
                    problem, kind = open_it(), "agree"
        counts["wrong" if problem else kind] += 1
        print(f"{'WRONG' if problem else 'ok':5}  {name}: {problem or kind}", flush=True)
    print(json.dumps(counts))
    sys.exit(counts["wrong"] > 0)


main()
