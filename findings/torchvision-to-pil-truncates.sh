#!/usr/bin/env bash
# A float picture in 0...1 turned into an 8-bit one in the three ways that torchvision offers.
#
# Expected: the same picture from `to_pil_image`, `save_image` and `to_dtype(uint8, scale=True)`.
# Seen with torchvision 0.29.2: three different ones. `to_pil_image` (and ToPILImage) cuts off after
# multiplying by 255, so pictures come out darker by half a level on average; `save_image` rounds;
# `to_dtype` spreads over 256 equal bins. An 8-bit picture that is normalised and turned back comes out
# of `to_pil_image` with about one level in seven too low by one; the other two give it back exactly.
# Why it matters: synthetic pictures are floats, learned in normalised space, and exported at the end; the
# darkening is a bias, not noise, and it is applied again at every load and save.
set -euo pipefail

packages=(torch==2.15.0 torchvision==0.29.2 pillow==13.0.0 numpy==2.4.6)
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
import io
from importlib.metadata import version
import numpy as np
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as F
from torchvision.utils import save_image

assert version("torchvision") == "0.29.2", version("torchvision")


def saved(image):
    file = io.BytesIO()
    save_image(image, file, format="png")
    return np.asarray(Image.open(file)).transpose(2, 0, 1)


ways = {
    "to_pil_image": lambda image: np.asarray(F.to_pil_image(image)).transpose(2, 0, 1),
    "save_image": saved,
    "to_dtype": lambda image: F.to_dtype(image, torch.uint8, scale=True).numpy(),
}
ramp = torch.linspace(0, 1, 100_000).expand(3, 1, -1).contiguous()
levels = torch.arange(256, dtype=torch.uint8).expand(3, 1, -1).contiguous()
mean, std = [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]
normalised = F.normalize(F.to_dtype(levels, torch.float32, scale=True), mean, std)
back = normalised * torch.tensor(std).view(3, 1, 1) + torch.tensor(mean).view(3, 1, 1)

bias, wrong = {}, {}
for name, way in ways.items():
    bias[name] = float((way(ramp).astype(float) - 255 * ramp.numpy()).mean())
    wrong[name] = int((way(back.clamp(0, 1)) != levels.numpy()).sum())
    print(f"{name:13} mean error {bias[name]:+.3f} levels; {wrong[name]} of 768 levels not given back")
assert abs(bias["to_pil_image"] + 0.5) < 0.01
assert abs(bias["save_image"]) < 0.01 and abs(bias["to_dtype"]) < 0.02
assert wrong["to_pil_image"] > 64 and wrong["save_image"] == wrong["to_dtype"] == 0
EOF
