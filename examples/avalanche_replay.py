"""Replay in Avalanche: real images kept at random beside a condensed memory of the same room.

    pip install 'attar[avalanche]'
    python examples/avalanche_replay.py digits 5 100

The numbers are experiences and the room in full images. A third one makes all trainings and
condensations that short, to see that it runs.
"""

import sys
from typing import Any

import torch
from avalanche.benchmarks import nc_benchmark  # pyright: ignore[reportMissingImports]
from avalanche.training import Naive  # pyright: ignore[reportMissingImports]
from avalanche.training.plugins import ReplayPlugin  # pyright: ignore[reportMissingImports]
from torch import nn

import attar
from attar.applications.continual.avalanche import CondensedBuffer
from attar.applications.continual.classes import division


class Rows(torch.utils.data.TensorDataset):
    def __init__(self, images: attar.LabelledImages) -> None:
        super().__init__(images.images[:].float() / 255, images.labels)
        self.targets = images.labels.tolist()


def main(source: str, steps: str, room: str, short: str = "") -> None:
    data = attar.load_source(source)
    assert data.test is not None
    classes, length = data.train.classes, int(short or 300)
    # all classes, where they do not divide evenly too
    sizes = dict(enumerate(division(classes, int(steps))))
    order = list(range(classes))
    options: dict[str, Any] = {"per_exp_classes": sizes, "fixed_class_order": order}
    whole = nc_benchmark(
        Rows(data.train), Rows(data.test), len(sizes), task_labels=False, **options
    )
    condensed = CondensedBuffer(int(room), method="lodm", iterations=length)
    for name, plugin in {
        "random": ReplayPlugin(int(room)),
        "condensed": ReplayPlugin(int(room), storage_policy=condensed),
    }.items():
        size = data.train.images[:1].numel()
        model = nn.Sequential(nn.Flatten(), nn.Linear(size, 64), nn.ReLU(), nn.Linear(64, classes))
        sgd = torch.optim.SGD(model.parameters(), lr=0.05)
        epochs = 1 if short else 20
        lengths = {"train_epochs": epochs, "train_mb_size": 32}
        strategy = Naive(model=model, optimizer=sgd, plugins=[plugin], **lengths)
        strategy.train(whole.train_stream)
        inputs, labels = data.test.images[:].float() / 255, data.test.labels
        right = (model.eval()(inputs).argmax(dim=1) == labels).float().mean()
        print(f"{name}: {100 * float(right):.1f} % of all classes")


if __name__ == "__main__":
    main(*sys.argv[1:])
