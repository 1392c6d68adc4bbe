"""Writes tests/data/activations.json: every activation of transformers that has no parameters, its values and slopes.

    python tests/bench/peers/activations.py > tests/data/activations.json

Computed in float64, so that what is compared with it is this program's rounding alone.
"""

import json

import torch
from transformers.activations import ACT2CLS, ACT2FN

POINTS = [-30.0, -12.5, -6.0, -3.5, -3.0, -2.0, -1.0, -0.5, -0.01, 0.01, 0.25, 0.7, 1.0, 2.0, 2.75, 3.5, 5.5, 6.5, 9.0, 10.5, 25.0]

values = {}
for name in ACT2CLS:
    function = ACT2FN[name]
    if any(True for _ in function.parameters()):
        continue
    x = torch.tensor(POINTS, dtype=torch.float64, requires_grad=True)
    y = function(x)
    y.sum().backward()
    short = lambda numbers: [float(f"{n:.9g}") for n in numbers]
    values[name] = {"values": short(y.tolist()), "slopes": short(x.grad.tolist())}
lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in values.items())
print(f'{{"points": {json.dumps(POINTS)},\n "activations": {{\n{lines}\n }}}}')
