"""What maskscope saved, read by the peers: logits of every position in transformers, and of an adapter in PEFT.

    maskscope trace --model FOLDER --text-file TEXT --out trace.safetensors
    python saved_folder.py FOLDER trace.safetensors [BASE]
        loads FOLDER in transformers and prints the largest difference of any logit at any position from maskscope's;
        with BASE (the folder a LoRA run began from), loads FOLDER/adapter over it in PEFT and prints the same; the
        adapter lies in the checkpoint's own folder, FOLDER/checkpoints/step-…

Exits with 1 where a difference is above 2e-5 relative to the largest logit. Needs torch, transformers, peft, safetensors.
"""

import os
import sys

import torch
from safetensors.torch import load_file
from transformers import GPT2LMHeadModel

BOUND = 2e-5


def load(folder):
    return GPT2LMHeadModel.from_pretrained(folder, torch_dtype=torch.float32, attn_implementation="eager").eval()


def compare(name, model, trace):
    ours = trace["logits"]
    with torch.no_grad():
        theirs = model(trace["input_ids"][None]).logits[0]
        exact = model.double()(trace["input_ids"][None]).logits[0]
    far = lambda a, b: float((a.double() - b.double()).abs().max())
    scale = max(1.0, float(ours.abs().max()))
    positions, vocabulary = ours.shape
    print(f"{name}: {positions} positions x {vocabulary} logits, largest {scale:.1f}; largest difference {far(ours, theirs):.2e}, "
          f"ours from f64 {far(ours, exact):.2e}, theirs from f64 {far(theirs, exact):.2e}")
    return far(ours, theirs) <= BOUND * scale


def main(folder, trace, base=None):
    trace = load_file(trace)
    model = load(folder)
    vocabulary = trace["logits"].shape[1]
    assert model.config.vocab_size == vocabulary and model.lm_head.weight.shape[0] == vocabulary, "the vocabulary grew"
    fine = compare("transformers", model, trace)
    if base:
        from peft import PeftModel

        adapter = os.path.join(folder, "adapter")
        fine &= compare("PEFT", PeftModel.from_pretrained(load(base), adapter).eval(), trace)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
