#!/usr/bin/env bash
# Ten classes in three experiences, by Avalanche's class_incremental_benchmark(num_experiences=3).
#
# Expected: 4, 3 and 3 classes, the last experience or the first taking what is left over;
# or a refusal, as nc_benchmark gives for the same request.
# Seen with avalanche-lib 0.6.0: 3, 3 and 3. One class is in no experience of any stream, neither to be
# learnt nor to be tested, and nothing says so. With seed=… the global generator of torch is seeded, too: what
# is drawn afterwards, such as the weights of a network, is the same whatever seed the program had chosen.
# Why it matters: accuracy over "all classes" is over fewer, and easier; runs of several seeds that share the
# seed of the benchmark are no independent ones. Give num_classes_per_exp=[4, 3, 3], and draw the order
# yourself (class_order=…).
set -euo pipefail

packages=(avalanche-lib==0.6.0 torch==2.15.0 torchvision==0.29.2 numpy==2.4.6)
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
from importlib.metadata import version
import torch
from avalanche.benchmarks import class_incremental_benchmark, nc_benchmark
from avalanche.benchmarks.utils import DataAttribute
from avalanche.benchmarks.utils.classification_dataset import ClassificationDataset

assert version("avalanche-lib") == "0.6.0", version("avalanche-lib")
labels = [number % 10 for number in range(30)]


class Rows(torch.utils.data.Dataset):
    targets = labels

    def __len__(self):
        return len(labels)

    def __getitem__(self, index):
        return torch.zeros(3), labels[index]


def data():
    return {"train": ClassificationDataset([Rows()], data_attributes=[DataAttribute(labels, "targets")])}


def classes(**options):
    stream = class_incremental_benchmark(data(), class_order=list(range(10)), **options).train_stream
    return [sorted(one.dataset.targets.uniques) for one in stream]


three = classes(num_experiences=3)
print("num_experiences=3:", three)
assert three == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
given = classes(num_classes_per_exp=[4, 3, 3])
print("num_classes_per_exp=[4, 3, 3]:", given)
assert sorted(sum(given, [])) == list(range(10))
try:
    nc_benchmark(Rows(), Rows(), 3, task_labels=False)
    raise SystemExit("nc_benchmark takes it now")
except ValueError as error:
    print("nc_benchmark refuses:", error)

drawn = []
for seed in (1, 2):
    torch.manual_seed(seed)
    class_incremental_benchmark(data(), num_experiences=5, seed=0)
    drawn.append(torch.rand(1).item())
print("drawn afterwards, in programs of two seeds:", drawn)
assert drawn[0] == drawn[1]
EOF
