#!/usr/bin/env bash
# Twelve networks of twelve widths, each given to torch.compile by itself.
#
# Expected: each is compiled, since each has a compiled function of its own, and sees one shape only.
# Seen with torch 2.15.0: eight are compiled, and the ninth and all after it run as if never compiled.
# What was compiled is counted for the code that is run, and all networks built with nn.Sequential run the
# same forward(); the limit of recompilations, eight, is thus one for all networks of a process. A line in
# the log is all that tells. dynamic=None and dynamic=False do the same.
# Why it matters: a sweep over networks, as of architectures or of evaluations on a condensed set, becomes
# several times slower from its ninth network on, and a comparison of times favours the first eight.
# isolate_recompiles=True, which older releases lack, or a larger torch._dynamo.config.recompile_limit, has
# all twelve compiled.
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
compiled = []


def backend(graph, inputs):
    compiled.append(graph)
    return graph.forward


def sweep(**options):
    torch._dynamo.reset()
    compiled.clear()
    for width in range(1, 13):
        network = nn.Sequential(nn.Conv2d(1, width, 3), nn.ReLU(), nn.Flatten())
        torch.compile(network, backend=backend, **options)(torch.zeros(2, 1, 8, 8))
    return len(compiled)


found = {"as it is": sweep(), "dynamic=False": sweep(dynamic=False)}
found["isolate_recompiles=True"] = sweep(isolate_recompiles=True)
with torch._dynamo.config.patch(recompile_limit=64):
    found["recompile_limit=64"] = sweep()
for how, count in found.items():
    print(f"{how}: {count} of 12 networks compiled")
assert list(found.values()) == [8, 8, 12, 12], found
EOF
