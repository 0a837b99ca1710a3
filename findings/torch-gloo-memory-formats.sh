#!/usr/bin/env bash
# Two processes on gloo; one holds pictures (2×3×4×5) as torch lays them out, the other in channels_last.
#
# Expected: torch.equal, + and copy_ see the same values in both layouts, so broadcast and all_reduce
# bring every process the values of the pictures; or a refusal, as shapes that differ get one.
# Seen with torch 2.15.0: no error, and a wrong order. broadcast hands the receiver the sender's memory
# in the sender's order, all_reduce adds memory cell by memory cell: value (0, 1, 0, 0) to (0, 0, 0, 1).
# Shape, mean and norm of the whole stay right. all_gather brings the right values.
# Why it matters: convolutions on a CPU and a GPU give channels_last to their results where weights or
# pictures have it, so that gradients of pictures come in either layout, as the path through the network
# decides. A check by norm or mean sees nothing. Bring all to one format (.contiguous()) first.
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

cat > two.py <<'EOF'
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

assert torch.__version__.split("+")[0] == "2.15.0", torch.__version__
PICTURES = torch.arange(120.0).reshape(2, 3, 4, 5)


def laid_out(values, rank, mixed):
    last = rank == 1 or not mixed
    return values.contiguous(
        memory_format=torch.channels_last if last else torch.contiguous_format
    ).clone(memory_format=torch.preserve_format)


def process(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    right = {}
    for mixed in (True, False):
        case = "two layouts" if mixed else "one layout"
        mine = laid_out(PICTURES if rank == 0 else torch.zeros_like(PICTURES), rank, mixed)
        dist.broadcast(mine, 0)
        if rank == 1:
            right[f"broadcast, {case}"] = torch.equal(mine, PICTURES)
            assert torch.equal(mine.flatten().sort().values, PICTURES.flatten())
        mine = laid_out(PICTURES, rank, mixed)
        dist.all_reduce(mine)
        if rank == 1:
            right[f"all_reduce, {case}"] = torch.equal(mine, 2 * PICTURES)
            assert mine.mean() == 2 * PICTURES.mean()
        got = [torch.empty_like(PICTURES) for _ in range(2)]
        dist.all_gather(got, laid_out(PICTURES, rank, mixed))
        if rank == 1:
            right[f"all_gather, {case}"] = all(torch.equal(one, PICTURES) for one in got)
    if rank == 1:
        for name, holds in right.items():
            print(f"{name}: {'right' if holds else 'wrong'} values")
        wrong = {name for name, holds in right.items() if not holds}
        assert wrong == {"broadcast, two layouts", "all_reduce, two layouts"}, wrong
    dist.destroy_process_group()


if __name__ == "__main__":
    mp.spawn(process, (str(Path.cwd()),), 2)
EOF
venv/bin/python -W ignore two.py
