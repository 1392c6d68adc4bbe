"""Times one fine-tuning step of torch (random weights), f32, and prints a JSON line:
{"peer", "what", "ms", "median_ms", "cpu_ms", "peak_bytes"}. One kind of step per process, so that the peak is its own.

usage: venv/bin/python train.py full|lora|bundled|compiled [--threads 2]
`full` trains every parameter of GPT-2 small on B=2, T=256; `lora` adapters of rank 8 on its c_attn (PEFT). `bundled` trains a model
of the bundled one's shape (6 layers, width 128, 4 heads, vocabulary 4,096) on B=8, T=256; `compiled` does the same by torch.compile.
Scaled-dot-product attention, fused AdamW, no dropout.
"""
import argparse, json, os, time
import torch, transformers

parser = argparse.ArgumentParser()
parser.add_argument("kind", choices=["full", "lora", "bundled", "compiled"])
parser.add_argument("--threads", type=int, default=2)
args = parser.parse_args()
home = os.environ.get("PEERS") or os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "maskscope-peers")
transformers.logging.set_verbosity_error()
torch.set_num_threads(args.threads)
small = args.kind in ("full", "lora")
plain = {"attn_implementation": "sdpa", "attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0}
if small:
    model = transformers.GPT2LMHeadModel.from_pretrained(home + "/gpt2-random-124m", **plain)
else:
    shape = transformers.GPT2Config(n_layer=6, n_embd=128, n_head=4, vocab_size=4096, n_positions=1024, **plain)
    model = transformers.GPT2LMHeadModel(shape)
if args.kind == "lora":
    import peft
    model = peft.get_peft_model(model, peft.LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules=["c_attn"],
                                                       fan_in_fan_out=True, task_type="CAUSAL_LM"))
model.train()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5, fused=True)
torch.manual_seed(0)
sequences = 2 if small else 8
batch = torch.randint(0, model.config.vocab_size, (sequences, 256))
run = torch.compile(model) if args.kind == "compiled" else model


def step():
    optimizer.zero_grad(set_to_none=True)
    run(input_ids=batch, labels=batch).loss.backward()
    optimizer.step()


step()
with open("/proc/self/clear_refs", "w") as f:
    f.write("5")  # the high-water mark starts again, as in `maskscope bench`
wall, cpu, start = [], [], time.time()
while len(wall) < (7 if small else 30) and (len(wall) < 3 or time.time() - start < 20):
    a, c = time.perf_counter(), time.process_time()
    step()
    wall.append(time.perf_counter() - a)
    cpu.append(time.process_time() - c)
wall.sort()
peak = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
peer = {"lora": "peft", "compiled": "torch.compile"}.get(args.kind, "torch") + (" (AVX-512 shim)" if "avx512" in os.environ.get("LD_PRELOAD", "") else "")
what = {"full": "train step B=2 T=256", "lora": "train step lora B=2 T=256"}.get(args.kind, "train step B=8 T=256")
print(json.dumps({"peer": peer, "what": what, "threads": args.threads, "ms": round(wall[0] * 1e3, 2),
                  "median_ms": round(wall[len(wall) // 2] * 1e3, 2), "cpu_ms": round(min(cpu) * 1e3, 2), "peak_bytes": peak}))
