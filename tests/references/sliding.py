"""Perplexity of tests/data/gpt2-tiny-random on the ids of its reference, as Hugging Face computes it for a stride:
https://huggingface.co/docs/transformers/perplexity, every token in the first window that reaches it.

python tests/references/sliding.py
"""
import torch
from safetensors.torch import load_file
from transformers import GPT2LMHeadModel

folder = "tests/data/gpt2-tiny-random"
model = GPT2LMHeadModel.from_pretrained(folder).eval()
ids = load_file(f"{folder}/reference.safetensors")["causal.input_ids"].reshape(1, -1)
for context, stride in ((16, 16), (16, 6), (40, 40)):
    done, total, right, labels = 0, 0.0, 0, 0
    last = ids.shape[1] - 1
    start = 0
    while done < last:
        end = min(start + context, last)
        with torch.no_grad():
            p = model(ids[:, start:end]).logits[0].double().log_softmax(-1)
        for at in range(done + 1, end + 1):
            row = p[at - 1 - start]
            total -= row[ids[0, at]].item()
            right += int(row.argmax() == ids[0, at])
            labels += 1
        done, start = end, start + stride
    print(context, stride, "loss", total / labels, "right", right, "of", labels)
