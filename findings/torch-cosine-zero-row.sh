#!/usr/bin/env bash
# The gradient of F.cosine_similarity where one of the two vectors is zero.
#
# Expected: 0 or NaN, as for other functions where they have no derivative; or something of the size that
# other rows have.
# Seen with torch 2.15.0: the value is a harmless 0, the gradient is the other direction divided by eps, of
# length 100,000,000. It is finite, so that neither anomaly detection nor a check for NaN shows it.
# Why it matters: gradient matching compares the gradients of each filter by their cosine. Synthetic pictures
# that start at zero (the mean picture, in normalised space) give the first layer gradients of exactly zero,
# and the first step then throws the pictures away by millions. Choose eps with the size of gradients in
# mind, or do not start at zero.
set -euo pipefail

packages=(torch==2.15.0 numpy==2.4.6)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
if command -v uv >/dev/null; then
  uv venv -q venv
  uv pip install -q --python venv/bin/python "${packages[@]}"
else
  python3 -m venv venv
  venv/bin/pip install -q "${packages[@]}"
fi

venv/bin/python -W ignore - <<'EOF'
from importlib.metadata import version
import torch
from torch.nn import functional as F

assert version("torch").split("+")[0] == "2.15.0", version("torch")
torch.manual_seed(0)
other = torch.randn(2, 8)
rows = torch.stack([torch.randn(8), torch.zeros(8)]).requires_grad_()
with torch.autograd.detect_anomaly(check_nan=True):
    value = F.cosine_similarity(rows, other)
    (gradient,) = torch.autograd.grad(value.sum(), rows)
usual, at_zero = gradient.norm(dim=1).tolist()

network = torch.nn.Sequential(
    torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 2)
)


def first_layer(pictures):
    loss = F.cross_entropy(network(pictures), torch.tensor([0, 1]))
    return torch.autograd.grad(loss, network[0].weight, create_graph=True)[0].flatten(1)


real, noise = torch.randn(2, 2, 1, 8, 8)
step = {}
for name, start in {"noise": noise, "zero": torch.zeros_like(noise)}.items():
    start.requires_grad_()
    distance = (1 - F.cosine_similarity(first_layer(start), first_layer(real).detach())).sum()
    step[name] = torch.autograd.grad(distance, start)[0].abs().max().item()
    print(f"matching gradients from pictures of {name}: the pictures' gradient is up to {step[name]:.3e}")
print(f"an ordinary row: value {value[0]:+.3f}, length of the gradient {usual:.3f}")
print(f"a row of zeros:  value {value[1]:+.3f}, length of the gradient {at_zero:.3e}")
assert value[1] == 0
assert usual < 10 and abs(at_zero - 1e8) < 1e3
assert step["noise"] < 100 and step["zero"] > 1e5
EOF
