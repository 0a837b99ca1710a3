"""An artefact as data, as components in order of significance, and as images drawn from it.

Source: Slimmable Dataset Condensation, section 3.4.
"""

from __future__ import annotations

import copy
import dataclasses

import torch
from torch import Tensor

from attar.artefact.artefact import Artefact
from attar.data.images import LabelledImages
from attar.rng import Key
from attar.synthetic import Parametrization, Synthetic, as_components, components_of


def as_data(artefact: Artefact) -> LabelledImages:
    """Return an artefact as data: prepared images, with their learnt labels where it has any."""
    return LabelledImages(
        artefact.images,
        artefact.synthetic.class_of_row,
        tuple(artefact.header.class_names),
        artefact.preprocessing,
        str(artefact.header.provenance.get("dataset", "artefact")),
        prepared=True,
        targets=artefact.labels if artefact.synthetic.labels is not None else None,
    )


@torch.no_grad()
def ordered(artefact: Artefact, share: str | None = None) -> Synthetic:
    """Return an artefact as components ordered by significance, with its labels.

    One that has no such form is factored (`OrderedImages.factor`), which keeps its images and
    labels as they are. Labels that are classes become one-hot minus 1/K.

    Args:
        artefact: any.
        share: ``all`` for one U and Σ of all classes, ``class`` for one of each; an artefact
            whose components are of the other kind is factored anew. None for the components
            that it has, ``all`` where it has none.
    """
    given, own = artefact.synthetic, components_of(artefact.synthetic)
    if own is not None and own.labels is not None and share in (None, own.shared):
        if own.falling:
            return given
        given = copy.deepcopy(given)
        given.settle()
        return given
    layout = artefact.header.layout
    return as_components(artefact.images, label_values(artefact), layout, share or "all")


def label_values(artefact: Artefact) -> Tensor:
    """Return the learnt labels of an artefact, N×K; one-hot minus 1/K where they are classes."""
    if artefact.synthetic.labels is not None:
        return artefact.labels
    classes = artefact.header.layout.classes
    return torch.nn.functional.one_hot(artefact.labels, classes).float() - 1 / classes


@torch.no_grad()
def drawn(
    artefact: Artefact,
    count: int,
    form: Parametrization,
    key: Key,
    *,
    learned_labels: bool | None = None,
) -> Synthetic:
    """Return a set of images of an artefact, drawn at random from each class.

    Args:
        artefact: any.
        count: images of each class; all where it has fewer.
        form: how they are stored.
        key: of the draw.
        learned_labels: whether labels are stored; None for as in the artefact.
    """
    layout = artefact.header.layout
    chosen = [
        torch.randperm(layout.per_class, generator=key.fold(own).generator())[:count]
        + own * layout.per_class
        for own in range(layout.classes)
    ]
    rows = torch.cat(chosen)
    if learned_labels is None:
        learned_labels = artefact.synthetic.labels is not None
    found = Synthetic(
        dataclasses.replace(layout, per_class=len(chosen[0])), form, learned_labels=learned_labels
    )
    found.images.fit(artefact.images[rows])
    if found.labels is not None:
        found.labels.fit(label_values(artefact)[rows])
    return found.requires_grad_(False)
