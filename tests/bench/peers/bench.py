"""Times the peers on GPT-2 small (random weights), f32, and prints JSON lines: {"peer", "what", "ms", "median_ms", "cpu_ms"}.

usage: venv/bin/python bench.py [--threads 2] [--peers torch,ort,ct2] [--lengths 64,256]
For torch at its best on an AMD processor: LD_PRELOAD=$PEERS/avx512.so
Training steps are in train.py. Best of 15; the shared machine is noisy, so compare programs in one run and quote ratios.
"""
import argparse, json, os, time
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--peers", default="torch,ort,ct2")
parser.add_argument("--lengths", default="64,256")
args = parser.parse_args()
home = os.environ.get("PEERS") or os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "maskscope-peers")
lengths = [int(n) for n in args.lengths.split(",")]
ids = {n: np.random.default_rng(0).integers(0, 50257, n) for n in set(lengths) | {64, 512}}


def report(peer, what, run, rounds=15, budget=20.0):
    run()
    wall, cpu, start = [], [], time.time()
    while len(wall) < rounds and time.time() - start < budget:
        a, c = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - a)
        cpu.append(time.process_time() - c)
    wall.sort()
    print(json.dumps({"peer": peer, "what": what, "threads": args.threads, "ms": round(wall[0] * 1e3, 2),
                      "median_ms": round(wall[len(wall) // 2] * 1e3, 2), "cpu_ms": round(min(cpu) * 1e3, 2)}), flush=True)


if "ort" in args.peers:
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    session = onnxruntime.InferenceSession(home + "/gpt2-onnx/model.onnx", options, providers=["CPUExecutionProvider"])
    empty = np.zeros((12, 2, 1, 12, 0, 64), np.float32)
    for n in lengths:
        report("onnxruntime", f"forward T={n}", lambda: session.run(["logits"], {"ids": ids[n][None].astype(np.int64), "past": empty}))
    for n in (64, 512):
        logits, past = session.run(None, {"ids": ids[n][None].astype(np.int64), "past": empty})
        last = np.argmax(logits[:, -1:], -1).astype(np.int64)
        report("onnxruntime", f"append one token, context {n}", lambda: session.run(None, {"ids": last, "past": past}), 40)
    del session
if "ct2" in args.peers:
    import ctranslate2
    for kind in ("float32", "int8"):
        generator = ctranslate2.Generator(home + "/gpt2-ct2", device="cpu", compute_type=kind, intra_threads=args.threads)
        for n in lengths:
            tokens = [int(i) for i in ids[n]]
            report("ctranslate2 " + kind, f"forward T={n}", lambda: np.array(generator.forward_batch([tokens], return_log_probs=False)))
        del generator
if "torch" in args.peers:
    import torch, transformers
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(args.threads)
    peer = "torch" + (" (AVX-512 shim)" if "avx512" in os.environ.get("LD_PRELOAD", "") else "")
    model = transformers.GPT2LMHeadModel.from_pretrained(home + "/gpt2-random-124m", attn_implementation="eager").eval()
    with torch.inference_mode():
        for n in lengths:
            x = torch.tensor(ids[n])[None]
            report(peer, f"forward T={n}, all attentions", lambda: model(x, use_cache=False, output_attentions=True))
        for n in (64, 512):
            first = model(torch.tensor(ids[n])[None], use_cache=True)
            state = [first.past_key_values, first.logits[:, -1:].argmax(-1)]

            def append():
                o = model(state[1], past_key_values=state[0], use_cache=True)
                state[:] = [o.past_key_values, o.logits[:, -1:].argmax(-1)]
            report(peer, f"append one token, context {n} and up", append, 40)
