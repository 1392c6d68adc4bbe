"""Times one fine-tuning step of torch on GPT-2 small (random weights), f32, B=2, T=256, and prints a JSON line:
{"peer", "what", "ms", "median_ms", "cpu_ms", "peak_bytes"}. One kind of step per process, so that the peak is its own.

usage: venv/bin/python train.py full|lora [--threads 2]
`full` trains every parameter, `lora` adapters of rank 8 on c_attn (PEFT). Scaled-dot-product attention, fused AdamW, no dropout.
"""
import argparse, json, os, time
import torch, transformers

parser = argparse.ArgumentParser()
parser.add_argument("kind", choices=["full", "lora"])
parser.add_argument("--threads", type=int, default=2)
args = parser.parse_args()
home = os.environ.get("PEERS") or os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "maskscope-peers")
transformers.logging.set_verbosity_error()
torch.set_num_threads(args.threads)
model = transformers.GPT2LMHeadModel.from_pretrained(home + "/gpt2-random-124m", attn_implementation="sdpa", attn_pdrop=0.0,
                                                     resid_pdrop=0.0, embd_pdrop=0.0)
if args.kind == "lora":
    import peft
    model = peft.get_peft_model(model, peft.LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules=["c_attn"],
                                                       fan_in_fan_out=True, task_type="CAUSAL_LM"))
model.train()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5, fused=True)
torch.manual_seed(0)
batch = torch.randint(0, 50257, (2, 256))


def step():
    optimizer.zero_grad(set_to_none=True)
    model(input_ids=batch, labels=batch).loss.backward()
    optimizer.step()


step()
with open("/proc/self/clear_refs", "w") as f:
    f.write("5")  # the high-water mark starts again, as in `maskscope bench`
wall, cpu, start = [], [], time.time()
while len(wall) < 7 and (len(wall) < 3 or time.time() - start < 20):
    a, c = time.perf_counter(), time.process_time()
    step()
    wall.append(time.perf_counter() - a)
    cpu.append(time.process_time() - c)
wall.sort()
peak = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
peer = ("torch" if args.kind == "full" else "peft") + (" (AVX-512 shim)" if "avx512" in os.environ.get("LD_PRELOAD", "") else "")
what = "train step B=2 T=256" if args.kind == "full" else "train step lora B=2 T=256"
print(json.dumps({"peer": peer, "what": what, "threads": args.threads, "ms": round(wall[0] * 1e3, 2),
                  "median_ms": round(wall[len(wall) // 2] * 1e3, 2), "cpu_ms": round(min(cpu) * 1e3, 2), "peak_bytes": peak}))
