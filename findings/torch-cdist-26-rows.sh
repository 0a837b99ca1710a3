#!/usr/bin/env bash
# Distances between pictures and near copies of them by torch.cdist, for 25 and for 26 pictures.
#
# Expected: the distance of two given pictures does not depend on how many others are in the call, and
# a picture is at distance 0 from itself.
# Seen with torch 2.15.0: above 25 rows the distance is computed from a matrix product, which in float32
# cancels away small differences. Pictures in 0...255 that differ by one level in one pixel have distance
# exactly 1 in a call of 25, and anything from 0 to several in a call of 26; a picture's distance from
# itself is no longer 0.
# Why it matters: herding, k-centre and other coresets, nearest-neighbour checks for leaked or doubled
# pictures, all work with thousands of rows. A test on twenty pictures shows none of it.
# compute_mode="donot_use_mm_for_euclid_dist" gives exact distances.
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

assert version("torch").split("+")[0] == "2.15.0", version("torch")
torch.manual_seed(0)
pictures = torch.randint(0, 255, (26, 3 * 32 * 32)).float()
near = pictures.clone()
near[:, 0] += 1

few = torch.cdist(pictures[:25], near[:25]).diagonal()
more = torch.cdist(pictures, near).diagonal()
same = torch.cdist(pictures, pictures).diagonal()
exact = torch.cdist(pictures, near, compute_mode="donot_use_mm_for_euclid_dist").diagonal()
print("25 pictures, true distance 1: from", few.min().item(), "to", few.max().item())
print("26 pictures, true distance 1: from", more.min().item(), "to", more.max().item())
print("26 pictures, each to itself:  from", same.min().item(), "to", same.max().item())
assert (few == 1).all() and (exact == 1).all()
assert (more - 1).abs().max() > 0.5
assert same.max() > 0.5
EOF
