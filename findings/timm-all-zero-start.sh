#!/usr/bin/env bash
# Gradients of freshly made timm networks with `num_classes=10`, before any training.
#
# Expected: a random network has a gradient in every weight tensor, as vit_tiny_patch16_224 has.
# Seen with timm 1.0.31: mixer_s16_224 and resmlp_12_224 start with a head of zeros, so that every tensor
# before it has a gradient of exactly 0 (33 of 34, 87 of 88); resnet18 starts the last norm of each block at
# zero, so that all convolutions inside its blocks have none (16 of 21).
# Why it matters: gradient matching compares such gradients, of real and of synthetic pictures, on networks
# that have just been drawn. Where both are zero every picture matches; the loss is finite and smooth, and
# the synthetic pictures learn from the head or the stem alone. For resnet18, zero_init_last=False mends it;
# for the others draw the head anew, or train a few steps before matching.
set -euo pipefail

packages=(timm==1.0.31 torch==2.15.0 torchvision==0.29.2 numpy==2.4.6)
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
import timm
import torch

assert version("timm") == "1.0.31", version("timm")
torch.manual_seed(0)
pictures, labels = torch.randn(4, 3, 224, 224), torch.arange(4)


def without_gradient(name, **options):
    network = timm.create_model(name, num_classes=10, **options)
    weights = [weight for weight in network.parameters() if weight.ndim > 1]
    loss = torch.nn.functional.cross_entropy(network(pictures), labels)
    gradients = torch.autograd.grad(loss, weights)
    count = sum(not gradient.any() for gradient in gradients)
    print(f"{name:21} {options or ''} {count} of {len(weights)} weight tensors have a gradient of exactly 0")
    return count, len(weights)


assert without_gradient("vit_tiny_patch16_224") == (0, 52)
assert without_gradient("mixer_s16_224") == (33, 34)
assert without_gradient("resmlp_12_224") == (87, 88)
assert without_gradient("resnet18") == (16, 21)
assert without_gradient("resnet18", zero_init_last=False) == (0, 21)
EOF
