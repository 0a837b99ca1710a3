"""An artefact as components in order of significance, and a set of the first of them.

Source: Slimmable Dataset Condensation, section 3.4.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from attar.artefact.artefact import Artefact
from attar.data.images import LabelledImages
from attar.rng import Key
from attar.synthetic import Layout, OrderedSVD, Parametrization, Synthetic, with_components
from attar.synthetic.ordered import OrderedImages, OrderedLabels, smaller


def as_data(artefact: Artefact) -> LabelledImages:
    """Return an artefact as data: prepared images, with their learnt labels where it has any."""
    return LabelledImages(
        artefact.images,
        artefact.synthetic.class_of_row,
        tuple(artefact.card.class_names),
        artefact.preprocessing,
        str(artefact.card.provenance.get("dataset", "artefact")),
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
    given = artefact.synthetic
    if isinstance(given.images, OrderedImages) and isinstance(given.labels, OrderedLabels):
        significance = given.images.significance
        own = "all" if len(significance) == 1 else "class"
        if share in (None, own):
            if bool((significance.diff(dim=1) <= 0).all()):
                return given
            given = copy.deepcopy(given)
            given.settle()
            return given
    labels = label_values(artefact)
    found = Synthetic(given.layout, OrderedSVD(share=share or "all"), learned_labels=True)
    assert isinstance(found.images, OrderedImages) and found.labels is not None
    found.images.factor(artefact.images, labels)
    found.labels.fit(labels)
    return found.requires_grad_(False)


def label_values(artefact: Artefact) -> Tensor:
    """Return the learnt labels of an artefact, N×K; one-hot minus 1/K where they are classes."""
    if artefact.synthetic.labels is not None:
        return artefact.labels
    classes = artefact.card.layout.classes
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
    layout = artefact.card.layout
    chosen = [
        torch.randperm(layout.per_class, generator=key.fold(own).generator())[:count]
        + own * layout.per_class
        for own in range(layout.classes)
    ]
    rows = torch.cat(chosen)
    if learned_labels is None:
        learned_labels = artefact.synthetic.labels is not None
    found = Synthetic(
        Layout(layout.classes, len(chosen[0]), layout.shape), form, learned_labels=learned_labels
    )
    found.images.fit(artefact.images[rows])
    if found.labels is not None:
        found.labels.fit(label_values(artefact)[rows])
    return found.requires_grad_(False)


@torch.no_grad()
def beginning(synthetic: Synthetic, count: int, *, expand: bool = False) -> Synthetic:
    """Return the set that is left without the least significant components.

    Args:
        synthetic: made of components, the most significant first.
        count: components of a class to keep, from 1 to b.
        expand: keep all n images of a class, each made of the components that are left, at the
            cost of n coefficients per component; by default there are as many images as
            components (`attar.synthetic.ordered.smaller`).
    """
    images, labels = synthetic.images, synthetic.labels
    assert isinstance(images, OrderedImages) and isinstance(labels, OrderedLabels)
    before = synthetic.layout
    if expand:
        mixing, significance = images.orthogonal()[..., :count], images.significance[:, :count]
    else:
        mixing, significance = smaller(images.orthogonal(), images.significance, count)
    layout = Layout(before.classes, mixing.shape[1], before.shape)
    form = with_components(synthetic.parametrization, count if expand else 0)
    found = Synthetic(layout, form, learned_labels=True)
    own, own_labels = found.images, found.labels
    assert isinstance(own, OrderedImages) and isinstance(own_labels, OrderedLabels)
    own.coefficients.copy_(mixing)
    own.significance.copy_(significance)
    for target, source in ((own.components, images.components), (own_labels, labels)):
        _copy_first_rows(target.state_dict(), source.state_dict())
    return found.requires_grad_(False)


def _copy_first_rows(target: dict[str, Tensor], source: dict[str, Tensor]) -> None:
    for name, tensor in target.items():
        tensor.copy_(source[name][: len(tensor)])
