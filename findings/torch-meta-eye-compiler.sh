#!/usr/bin/env bash
# An identity matrix without memory: torch.eye(8, device="meta"), beside empty, zeros and ones there.
#
# Expected: the quickest way to learn a shape; nothing is worked out on "meta".
# Seen with torch 2.15.0: eye is made there by a reference written in Python, which compares two ranges.
# The first one in a process imports torch._dynamo, torch._inductor and sympy, more than 500 modules, though
# nothing is compiled. empty, zeros and ones import none of these. Under torch.device("meta") the same
# happens to any module that makes an identity, or adds ranges, in its constructor.
# Why it matters: shapes are asked for on "meta" because that is free. A command that reads one small file
# took 9.3 seconds in place of 2.9 by it, on one core. Make such constants after checking for "meta".
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
import sys
import time

import torch

assert torch.__version__.split("+")[0] == "2.15.0", torch.__version__
COMPILER = {"torch._dynamo", "torch._inductor", "sympy"}


def brought(name, make):
    before, began = set(sys.modules), time.perf_counter()
    assert make().device.type == "meta"
    new = set(sys.modules) - before
    seconds = time.perf_counter() - began
    print(f"{name}: {len(new)} modules, {seconds:.2f} s, {sorted(new & COMPILER) or 'no compiler'}")
    return new


for name in ("empty", "zeros", "ones"):
    assert not brought(name, lambda: getattr(torch, name)(8, 8, device="meta")) & COMPILER
first = brought("eye", lambda: torch.eye(8, device="meta"))
assert COMPILER <= first and len(first) > 500, len(first)
assert not brought("eye, once more", lambda: torch.eye(8, device="meta"))
EOF
