#!/usr/bin/env bash
# Cross entropy with class weights, for labels given as class numbers and as one-hot probabilities.
#
# Expected: the same loss, since both name the same labels; without class weights it is the same.
# Seen with torch 2.15.0: with class weights, class numbers give the sum divided by the sum of the weights
# of the labels, probabilities give the sum divided by the number of pictures. The ratio depends on which
# classes are in the batch, so no one factor on the learning rate makes up for it.
# Why it matters: condensed sets with learned labels are trained with probabilities, the real or selected
# sets they are compared with usually with class numbers. With unequal classes and weights, the two runs
# have different step sizes, which differ from batch to batch.
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

venv/bin/python - <<'EOF'
from importlib.metadata import version
import torch
from torch.nn import functional as F

assert version("torch").split("+")[0] == "2.15.0", version("torch")
torch.manual_seed(0)
weight = torch.tensor([1.0, 2.0, 4.0])
for labels in (torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0, 2, 2, 2, 2, 2])):
    scores = torch.randn(6, 3)
    one_hot = F.one_hot(labels, 3).float()
    assert torch.allclose(F.cross_entropy(scores, labels), F.cross_entropy(scores, one_hot))
    numbers = F.cross_entropy(scores, labels, weight=weight)
    probabilities = F.cross_entropy(scores, one_hot, weight=weight)
    ratio = (probabilities / numbers).item()
    print(labels.tolist(), f"numbers {numbers:.4f}, one-hot {probabilities:.4f}, ratio {ratio:.3f}")
    assert abs(ratio - weight[labels].mean().item()) < 1e-4
EOF
