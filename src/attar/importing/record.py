"""What an imported artefact says of itself: its header, its files, the command that made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import attar
from attar.artefact.header import Header
from attar.data import SOURCES, Preprocessing, classes_text
from attar.importing.contents import Content, fingerprint
from attar.importing.formats import Format
from attar.importing.found import Found
from attar.importing.target import Said, Target
from attar.methods import METHODS, Task
from attar.synthetic import Layout, Synthetic
from attar.text import command_line
from attar.training import CARDS
from attar.training.fitting import LEARNT_LR

# the field's depths of ConvNet by the side of an image
_DEEPER = ((224, "convnet6"), (112, "convnet5"), (0, "convnet3"))


@dataclass(frozen=True)
class Import:
    """Everything that went into an import.

    Args:
        contents: the files.
        format: how they were read.
        said: what the user said of them.
        target: what they are of.
        found: what they hold.
        options: further options as given; None where nothing was said.
    """

    contents: tuple[Content, ...]
    format: Format
    said: Said
    target: Target
    found: Found
    options: Mapping[str, Any]


def described(made: Import, synthetic: Synthetic, preprocessing: Preprocessing) -> Header:
    """Return the header of an imported set."""
    found, target, said = made.found, made.target, made.said
    card, network = protocol(made, synthetic.layout)
    provenance = {
        "source": target.source,
        "reading": {} if said.classes is None else {"classes": said.classes},
        "dataset": target.dataset,
        "imported": files(made),
        "attar": attar.__version__,
        "torch": torch.__version__,
        "command": repeated(made),
    }
    return Header(
        class_names=list(target.class_names),
        shape=synthetic.layout.shape,
        images_per_class=synthetic.layout.per_class,
        parametrization=synthetic.parametrization.describe(),
        learned_labels=synthetic.labels is not None,
        mean=list(preprocessing.mean),
        std=list(preprocessing.std),
        zca=getattr(preprocessing.whitening, "kind", "none"),
        method=f"{made.options.get('method') or found.method} (imported)",
        settings={"card": card, "network": network},
        learned={name: list(one.shape) for name, one in learned(found).items()},
        provenance={name: value for name, value in provenance.items() if value is not None},
    )


def learned(found: Found) -> dict[str, Tensor]:
    """Return what was learnt beside a set."""
    return {} if found.learned_lr is None else {LEARNT_LR: torch.tensor(found.learned_lr)}


def files(made: Import) -> dict[str, Any]:
    """Return format, digests and sizes of the files, and what is to be known of them."""
    paths = [content.path for content in made.contents]
    names = [path.name for path in paths]
    named = {n if names.count(n) == 1 else str(p): p for n, p in zip(names, paths, strict=True)}
    prints = {name: fingerprint(path) for name, path in named.items()}
    return {
        "format": made.format.name,
        "sha256": {name: sha256 for name, (sha256, _) in prints.items()},
        "bytes": {name: size for name, (_, size) in prints.items()},
        "notes": list(made.found.notes),
    }


def protocol(made: Import, layout: Layout) -> tuple[str, str]:
    """Return the evaluation card and the network of the set's authors."""
    method = made.found.method
    if method in METHODS:
        task = Task(made.target.dataset, layout.per_class, layout.shape, layout.classes)
        recipe = METHODS[method].recipe(task)
        return recipe.card, recipe.network
    network = next(name for least, name in _DEEPER if min(layout.shape[1:]) >= least)
    return (made.format.card if made.format.card in CARDS else "dsa-1000"), network


def repeated(made: Import) -> str:
    """Return the command line that makes the artefact again."""
    said = made.said
    data = said.data if isinstance(said.data, str) else ""
    given = {
        "format": made.format.name,
        "data": data if data.partition(":")[0] in SOURCES else None,
        "data_name": said.data_name,
        "classes": classes_text(said.classes) or None,
        "zca": said.zca,
        "mean": said.mean and ",".join(map(str, said.mean)),
        "std": said.std and ",".join(map(str, said.std)),
        **made.options,
    }
    words = ["attar", "import", *(content.path for content in made.contents)]
    return command_line(words, given, "OUT.safetensors")
