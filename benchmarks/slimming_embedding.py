"""How far a network trained on a slimmed set drifts from one trained on the set it is made from.

    uv run python benchmarks/slimming_embedding.py large.safetensors small.safetensors ...

One network is drawn and trained on the large set and on every smaller one, with the same start:
Adam at ``--lr`` on squared error, whole sets, no augmentation. After every ``--every`` updates the
images of the large set go through all of them, and the squared Frobenius distance of their
features to those of the network trained on the large set is written down: the mean over
``--repeats`` starts.

Source: Slimmable Dataset Condensation, section 4.3 and Figure 3 (right).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro


@dataclass(frozen=True)
class Options:
    """What is run."""

    artefacts: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """The large set, then the sets made from it."""
    network: str = "frepo3:norm=none"
    """Network that is trained."""
    updates: int = 200
    """Updates of every network."""
    every: int = 40
    """Updates between two measurements."""
    lr: float = 3e-4
    """Learning rate."""
    repeats: int = 3
    """Starts."""


def trained(artefact: Any, network: Any, key: Any, options: Options, watched: Any) -> list[Any]:
    """Return the features of ``watched`` after every so many updates on an artefact."""
    import torch
    from torch.nn import functional

    module = network.draw(key, torch.device("cpu"))
    optimiser = torch.optim.Adam(module.parameters(), lr=options.lr)
    labels = artefact.labels
    if not labels.is_floating_point():
        classes = len(artefact.header.class_names)
        labels = functional.one_hot(labels, classes).float() - 1 / classes
    found = []
    for update in range(options.updates + 1):
        if update % options.every == 0:
            with torch.no_grad():
                found.append(module.embed(watched))
        error = module(artefact.images) - labels
        optimiser.zero_grad(set_to_none=True)
        (error.square().sum(dim=1).mean() / 2).backward()
        optimiser.step()
    return found


def main() -> None:
    """Print the table of distances."""
    options = tyro.cli(Options, description=__doc__)
    import attar
    from attar.networks import make
    from attar.rng import Key

    sets = [attar.load(path) for path in options.artefacts]
    large = sets[0]
    channels, height, width = large.header.shape
    network = make(options.network, channels, (height, width), len(large.header.class_names))
    steps = range(0, options.updates + 1, options.every)
    sums = {path: [0.0 for _ in steps] for path in options.artefacts[1:]}
    for repeat in range(options.repeats):
        key = Key(repeat).fold("embedding")
        wanted = trained(large, network, key, options, large.images)
        for path, small in zip(options.artefacts[1:], sets[1:], strict=True):
            found = trained(small, network, key, options, large.images)
            for i, (own, aim) in enumerate(zip(found, wanted, strict=True)):
                sums[path][i] += float((own - aim).square().sum()) / options.repeats
    print("| updates |", " | ".join(path.stem for path in sums), "|")
    print("|---" * (len(sums) + 1) + "|")
    for i, step in enumerate(steps):
        print(f"| {step} |", " | ".join(f"{values[i]:.4g}" for values in sums.values()), "|")


if __name__ == "__main__":
    main()
