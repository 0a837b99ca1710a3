"""Sets made of components that are ordered by significance: made of any set, and cut."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from attar.synthetic.forms.form import Parametrization
from attar.synthetic.forms.ordered import OrderedImages, OrderedLabels, OrderedSVD
from attar.synthetic.forms.orthogonal import smaller
from attar.synthetic.layout import Layout
from attar.synthetic.synthetic_set import Synthetic


@dataclass(frozen=True)
class Components:
    """The stores of a set that is made of ordered components."""

    images: OrderedImages
    labels: OrderedLabels | None

    @property
    def shared(self) -> str:
        """``all`` where one U and Σ serve all classes, ``class`` where each has its own."""
        return "all" if len(self.images.significance) == 1 else "class"

    @property
    def falling(self) -> bool:
        """Whether the most significant component comes first."""
        return bool((self.images.significance.diff(dim=1) <= 0).all())


def components_of(synthetic: Synthetic) -> Components | None:
    """Return the stores of a set of ordered components; None where it is stored otherwise."""
    images, labels = synthetic.images, synthetic.labels
    if not isinstance(images, OrderedImages):
        return None
    return Components(images, labels if isinstance(labels, OrderedLabels) else None)


@torch.no_grad()
def as_components(images: Tensor, labels: Tensor, layout: Layout, share: str) -> Synthetic:
    """Return images and labels as components ordered by significance, in memory of their own.

    `OrderedImages.factor` keeps them as they are.

    Args:
        images: N×C×H×W network inputs.
        labels: N×K label values.
        layout: the rows.
        share: ``all`` for one U and Σ of all classes, ``class`` for one of each.
    """
    found = Synthetic(layout, OrderedSVD(share=share), learned_labels=True)
    own = _both(found)
    own[0].factor(images, labels)
    own[1].fit(labels)
    return found.requires_grad_(False)


@torch.no_grad()
def first_components(synthetic: Synthetic, count: int, *, expand: bool = False) -> Synthetic:
    """Return the set that is left without the least significant components.

    Args:
        synthetic: made of components, the most significant first, with learnt labels.
        count: components of a class to keep, from 1 to b.
        expand: keep all n images of a class, each made of the components that are left, at the
            cost of n coefficients per component; by default there are as many images as
            components (`attar.synthetic.forms.orthogonal.smaller`).
    """
    images, labels = _both(synthetic)
    if expand:
        mixing, significance = images.orthogonal()[..., :count], images.significance[:, :count]
    else:
        mixing, significance = smaller(images.orthogonal(), images.significance, count)
    layout = dataclasses.replace(synthetic.layout, per_class=mixing.shape[1])
    form = _with_components(synthetic.parametrization, count if expand else 0)
    found = Synthetic(layout, form, learned_labels=True)
    own, own_labels = _both(found)
    own.coefficients.copy_(mixing)
    own.significance.copy_(significance)
    for target, source in ((own.components, images.components), (own_labels, labels)):
        _copy_first_rows(target.state_dict(), source.state_dict())
    return found.requires_grad_(False)


def _both(synthetic: Synthetic) -> tuple[OrderedImages, OrderedLabels]:
    found = components_of(synthetic)
    assert found is not None and found.labels is not None
    return found.images, found.labels


def _with_components(form: Parametrization, count: int) -> Parametrization:
    """Return a form of ordered components with another number of them; 0 for one per image."""
    if form.inner is not None:
        return form.around(_with_components(form.inner, count))
    assert isinstance(form, OrderedSVD)
    return dataclasses.replace(form, components=count)


def _copy_first_rows(target: Mapping[str, Tensor], source: Mapping[str, Tensor]) -> None:
    for name, tensor in target.items():
        tensor.copy_(source[name][: len(tensor)])
