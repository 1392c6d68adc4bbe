"""The loss of made-up repeats as transformers computes it: labels that do not count are -100.

The draws are those of src/mask/draw.rs (Philox4x32-10), so that the sequences are the program's own. Prints what
src/train/data/synthetic_tests.rs compares with: python tests/bench/peers/synthetic_loss.py
"""

import pathlib

import torch
from transformers import GPT2LMHeadModel

MODEL = pathlib.Path(__file__).parents[2] / "data/gpt2-tiny-random"
SEED, CONTEXT, LEAST, MOST, SYNTHETIC = 3, 32, 4, 9, 18


def philox(counter, key):
    counter, key = list(counter), list(key)
    for _ in range(10):
        a, b = counter[0] * 0xD2511F53, counter[2] * 0xCD9E8D57
        counter = [
            (b >> 32) ^ counter[1] ^ key[0],
            b & 0xFFFFFFFF,
            (a >> 32) ^ counter[3] ^ key[1],
            a & 0xFFFFFFFF,
        ]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return counter


def below(position, at, n):
    out = philox([position, at, 0, SYNTHETIC], [SEED, 0])
    return ((out[1] << 32 | out[0]) * n) >> 64


model = GPT2LMHeadModel.from_pretrained(MODEL).eval()
inputs, labels = [], []
for at in range(4):
    period = LEAST + below(1, at, MOST - LEAST + 1)
    part = [below(2 + i, at, model.config.vocab_size) for i in range(period)]
    tokens = [part[i % period] for i in range(CONTEXT + 1)]
    inputs.append(tokens[:-1])
    labels.append([tokens[t + 1] if t >= period else -100 for t in range(CONTEXT)])
    print("period", period, "first", tokens[:6])
with torch.no_grad():
    logits = model(torch.tensor(inputs)).logits.double()
loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(labels).flatten())
all_loss = torch.nn.functional.cross_entropy(
    logits[:, :-1].flatten(0, 1), torch.tensor(inputs)[:, 1:].flatten()
)
print(f"loss {loss:.9f} over {sum(l != -100 for row in labels for l in row)} labels; over all {all_loss:.9f}")
