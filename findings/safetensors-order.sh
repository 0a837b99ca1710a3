#!/usr/bin/env bash
# The order of the tensors that come back from a safetensors file.
#
# Expected: the order in which they were saved, as pickles, npz archives and JSON objects keep it; or at
# least the same order whichever function reads them.
# Seen with safetensors 0.8.0: `load_file` gives them sorted as text (block 10 before block 2), and `load`,
# from the very same bytes, in an order that is drawn anew in each process.
# Why it matters: optimisers, expert trajectories and EMA copies pair parameters by position. Tensors of
# equal shape, as the blocks of a network have, are then swapped without an error, and code that visits
# `load(...).items()` while it draws random numbers is not reproducible with a fixed seed.
# Pair by name, never by position.
set -euo pipefail

packages=(safetensors==0.8.0 numpy==2.4.6)
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
import subprocess
import sys
from importlib.metadata import version
import numpy as np
from safetensors.numpy import load_file, save_file

assert version("safetensors") == "0.8.0", version("safetensors")
blocks = {f"{i}.weight": np.full(2, i, np.float32) for i in range(12)}
save_file(blocks, "network.safetensors")
from_file = list(load_file("network.safetensors"))
reader = "from safetensors.numpy import load; print(*load(open('network.safetensors', 'rb').read()))"
from_bytes = [
    subprocess.run([sys.executable, "-c", reader], check=True, capture_output=True, text=True).stdout.split()
    for _ in range(3)
]
print("saved:    ", *blocks)
print("load_file:", *from_file)
for order in from_bytes:
    print("load:     ", *order)
assert from_file == sorted(blocks) != list(blocks)
assert all(sorted(order) == sorted(blocks) for order in from_bytes)
assert len({tuple(order) for order in from_bytes}) > 1
EOF
