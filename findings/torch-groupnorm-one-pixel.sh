#!/usr/bin/env bash
# Instance normalisation of maps that have shrunk to one pixel, as at the end of a deep network on small
# pictures, written as nn.GroupNorm(channels, channels) as the field's networks do.
#
# Expected: an error, as nn.InstanceNorm2d and nn.BatchNorm2d give where there is only one value to
# normalise; PyTorch does check GroupNorm for it as well.
# Seen with torch 2.15.0: the check looks at one sample only together with the whole batch. With one sample
# it raises; with two or more it passes, and the layer gives its bias for every picture, whatever the picture.
# Why it matters: a network one block too deep for its pictures then tells no two pictures apart. Training
# runs without an error and stays at chance; matching methods find gradients of zero below that layer.
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
from torch import nn

assert version("torch").split("+")[0] == "2.15.0", version("torch")
torch.manual_seed(0)


def refused(layer, count):
    try:
        layer(torch.randn(count, 4, 1, 1))
    except ValueError as error:
        print(f"{type(layer).__name__}, {count} picture(s):", error)
        return True
    return False


norm = nn.GroupNorm(4, 4)
nn.init.uniform_(norm.bias)
first, second = norm(torch.randn(2, 4, 1, 1)).flatten(1)
print("GroupNorm(4, 4), two different pictures:", first.tolist(), second.tolist())
print("its bias:                               ", norm.bias.tolist())
assert torch.allclose(first, norm.bias, atol=1e-3) and torch.allclose(second, norm.bias, atol=1e-3)
assert refused(norm, 1) and not refused(norm, 2)
assert refused(nn.InstanceNorm2d(4, affine=True), 2)
assert refused(nn.BatchNorm2d(4), 1)
EOF
