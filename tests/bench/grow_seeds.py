"""Grows a circuit under several seeds and checks what the note on it claims.

python tests/bench/grow_seeds.py [--seeds 10] [--first 0] [--program target/release/maskscope]

Each seed must have an induction head by step 200 and a previous-token head by step 300, take at most 150 s of processor time,
lose at least 80 % of the copying gain without the heads that passed, and at most 10 % without all others.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

parser = argparse.ArgumentParser()
parser.add_argument("--seeds", type=int, default=10)
parser.add_argument("--first", type=int, default=0)
parser.add_argument("--program", default="target/release/maskscope")
args = parser.parse_args()

good = 0
print("seed  induction  previous  loss   clocked  others  processor")
for seed in range(args.first, args.first + args.seeds):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "run"
        command = [args.program, "grow", "induction", "--seed", str(seed), "--out", str(out), "--json"]
        told = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    report = json.loads(told.stdout)
    circuit = report["summary"]["circuit"]
    first = lambda what: min((p[what] for p in circuit["passed"] if p[what] is not None), default=None)
    induction, previous = first("induction"), first("previous")
    share = lambda group: circuit[group]["share"] if circuit[group] else 0.0
    clocked, others, seconds = share("clocked"), share("others"), report["processor_seconds"]
    holds = (
        induction is not None
        and induction <= 200
        and previous is not None
        and previous <= 300
        and seconds <= 150
        and clocked >= 0.8
        and others <= 0.1
    )
    good += holds
    print(
        f"{seed:4}  {induction!s:>9}  {previous!s:>8}  {circuit['loss']:.3f}  {100 * clocked:5.0f} %  {100 * others:4.1f} %  "
        f"{seconds:7.0f} s{'' if holds else '  does not hold'}",
        flush=True,
    )
print(f"{good} of {args.seeds} hold")
sys.exit(good != args.seeds)
