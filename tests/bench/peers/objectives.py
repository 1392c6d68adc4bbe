"""PyTorch's side of what a run's loss, rows, rates and adapters are: numbers for tests/objectives.rs.

    python objectives.py tests/data/gpt2-tiny-random tests/data/objectives.json

Needs torch, transformers, peft, safetensors. CPU, f32, dropout 0 but where a mask is given.
"""

import json
import sys

import torch
from transformers import GPT2LMHeadModel, get_cosine_with_hard_restarts_schedule_with_warmup


def load(folder):
    model = GPT2LMHeadModel.from_pretrained(folder, torch_dtype=torch.float32, attn_implementation="eager")
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def walk(n, start, stride):
    return [(start + stride * i) % 511 for i in range(n)]


def answers(folder):
    """Two rows, of which some tokens are answers: loss with labels of -100, and the norm of its gradient."""
    model = load(folder).train()
    rows = [walk(25, 3, 7), walk(25, 200, 5)]
    counted = [[9 <= i < 15 or i >= 22 for i in range(25)], [i in (4, 5, 6, 7, 8) for i in range(25)]]
    ids = torch.tensor(rows)
    labels = torch.where(torch.tensor(counted), ids, -100)
    loss = model(ids[:, :-1], labels=None).logits
    loss = torch.nn.functional.cross_entropy(loss.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1e9)
    shifted = load(folder)(ids, labels=labels).loss
    return {"rows": rows, "counted": counted, "loss": float(loss), "grad_norm": float(norm),
            "transformers_loss": float(shifted)}


def isolated(folder):
    """One row of three documents: each alone from position 0, as DataCollatorWithFlattening has flash attention see them. The
    last token of each predicts nothing. The packed loss is that of the same row as one text."""
    model = load(folder).eval()
    documents = [walk(9, 5, 3), walk(14, 100, 11), walk(8, 40, 2)]
    nats, labels = 0.0, 0
    with torch.no_grad():
        for ids in documents:
            ids = torch.tensor([ids])
            logits = model(ids[:, :-1]).logits[0]
            nats += float(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum"))
            labels += ids.shape[1] - 1
        row = torch.tensor([sum(documents, [])])
        packed = torch.nn.functional.cross_entropy(model(row[:, :-1]).logits[0], row[0, 1:])
    return {"documents": documents, "loss": nats / labels, "packed_loss": float(packed)}


def rates():
    """Learning rates before each of the steps, as torch and transformers step them."""
    def of(make, steps):
        optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
        schedule = make(optimizer)
        out = []
        for _ in range(steps):
            out.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return out

    one = torch.optim.lr_scheduler
    return {
        "one_cycle": of(lambda o: one.OneCycleLR(o, max_lr=1e-3, total_steps=50, cycle_momentum=False), 50),
        "warm_restarts": of(lambda o: one.CosineAnnealingWarmRestarts(o, T_0=20, eta_min=1e-4), 60),
        "hard_restarts": of(lambda o: get_cosine_with_hard_restarts_schedule_with_warmup(o, 10, 100, num_cycles=3), 100),
    }


def lora_dropout():
    """One linear layer of PEFT whose dropout is a given mask: output and gradients."""
    from peft import LoraConfig, get_peft_model

    class Given(torch.nn.Module):
        def forward(self, x):
            return x * mask

    torch.manual_seed(3)
    layer = torch.nn.Sequential()
    layer.add_module("linear", torch.nn.Linear(6, 4))
    peft = get_peft_model(layer, LoraConfig(r=2, lora_alpha=6, lora_dropout=0.25, target_modules=["linear"]))
    lora = peft.base_model.model.linear
    assert isinstance(lora.lora_dropout["default"], torch.nn.Dropout) and lora.lora_dropout["default"].p == 0.25
    torch.nn.init.normal_(lora.lora_B["default"].weight)
    x = torch.randn(5, 6, requires_grad=True)
    mask = (torch.rand(5, 6) >= 0.25).float() / 0.75
    lora.lora_dropout["default"] = Given()
    out = peft(x)
    upstream = torch.randn(5, 4)
    (out * upstream).sum().backward()
    flat = lambda t: t.detach().flatten().tolist()
    a, b = lora.lora_A["default"].weight, lora.lora_B["default"].weight
    return {"weight": flat(lora.base_layer.weight.t()), "bias": flat(lora.base_layer.bias), "a": flat(a.t()), "b": flat(b.t()),
            "scale": lora.scaling["default"], "x": flat(x), "mask": flat(mask), "upstream": flat(upstream), "out": flat(out),
            "dx": flat(x.grad), "da": flat(a.grad.t()), "db": flat(b.grad.t())}


def main(folder, out):
    data = {"answers": answers(folder), "isolated": isolated(folder), "rates": rates(), "lora_dropout": lora_dropout()}
    with open(out, "w") as file:
        json.dump(data, file, indent=1)
        file.write("\n")
    print({k: data[k]["loss"] for k in ("answers", "isolated")}, data["answers"]["transformers_loss"],
          data["isolated"]["packed_loss"])


if __name__ == "__main__":
    main(*sys.argv[1:])
