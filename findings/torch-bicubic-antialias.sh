#!/usr/bin/env bash
# Enlarging pictures with F.interpolate, with and without `antialias=True`.
#
# Expected: the same picture. Antialiasing widens the filter when shrinking; when enlarging there is
# nothing to widen, and for mode="bilinear" both do agree.
# Seen with torch 2.15.0: for mode="bicubic" the switch also changes the cubic itself (its parameter is -0.75
# without and -0.5 with it), so enlarged pictures differ, here by up to 7 % of the range.
# Why it matters: methods that store several small pictures in the place of one enlarge them whenever the
# set is used. A set learned with one of the two cubics and evaluated with the other is not the set that was
# learned, and a helper that always passes antialias=True "since it does nothing here" makes it so.
# Pillow's BICUBIC is the one with antialias=True.
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
small = torch.rand(1, 3, 16, 16)
change = {}
for mode in ("bilinear", "bicubic"):
    plain = F.interpolate(small, scale_factor=2, mode=mode)
    change[mode] = (F.interpolate(small, scale_factor=2, mode=mode, antialias=True) - plain).abs().max()
    print(f"{mode:8} enlarged twice, antialias changes a pixel by up to {change[mode]:.7f}")

# the response to one bright pixel, half a step beside it, tells which cubic it is
dot = torch.zeros(1, 1, 9, 9)
dot[..., 4] = 1
side = {on: F.interpolate(dot, scale_factor=2, mode="bicubic", antialias=on)[0, 0, 9] for on in (False, True)}


def cubic(a, x):
    return (a + 2) * x**3 - (a + 3) * x**2 + 1


print("weight at a quarter step:", side[False][8].item(), "without,", side[True][8].item(), "with antialias")
assert change["bilinear"] < 1e-5 and change["bicubic"] > 0.03
assert abs(side[False][8] - cubic(-0.75, 0.25)) < 1e-5
assert abs(side[True][8] - cubic(-0.5, 0.25)) < 1e-5
EOF
