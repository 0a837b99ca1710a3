"""Images and labels made of components that are ordered by significance: X = U·Σ·V.

Source: Slimmable Dataset Condensation, section 3.4, equation 8.

Shape letters: K classes, n images per class, b components per class, G groups that share U and
Σ (1 or K), B rows asked for, D values of a row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from attar.errors import BadRequest, unknown
from attar.rng import Key
from attar.synthetic.beginning import Beginning
from attar.synthetic.forms.form import DENSE, Leaf, Parametrization, only_shapes
from attar.synthetic.forms.orthogonal import orthogonal_factor, smaller
from attar.synthetic.layout import Layout
from attar.synthetic.stores import Store, largest
from attar.synthetic.table import Table, by_class

# tensors that must be kept beside what the papers count
COEFFICIENTS, SIGNIFICANCE = "images.coefficients", "images.significance"
# below this share of the largest significance a component is nothing but rounding
_NEGLIGIBLE = 1e-6


@dataclass(frozen=True)
class OrderedSVD(Parametrization):
    """The n images of a class are U·Σ·V of b components, ordered by significance.

    Learnt labels are made of the same U and Σ, so a component is a piece of an image together
    with a piece of a label, and a smaller set is what is left without the least significant
    ones. The papers' count is that of the components, one image's values each.

    Source: Slimmable Dataset Condensation, section 3.4, equation 8.

    Args:
        components: b, from 1 to n; 0 for n.
        share: ``all`` for one U and Σ of all classes, ``class`` for one of each.

    Example:
        >>> OrderedSVD().values(Layout(10, 5, (3, 32, 32))) == 10 * 5 * 3 * 32 * 32
        True
    """

    name: ClassVar[str] = "ordered_svd"
    needs_sides: ClassVar[bool] = False

    fixed: ClassVar[Mapping[str, str]] = {
        "components": "a budget holds as many components as images; to keep more images than "
        "components, use attar slim --expand"
    }
    uncounted: ClassVar[Mapping[str, str]] = {
        COEFFICIENTS: "U: how much of each component is in each image",
        SIGNIFICANCE: "Σ: how much each component contributes",
    }

    uncoded: ClassVar[str] = (
        "its first components are read out of the file by themselves, and U must stay orthogonal"
    )

    components: int = 0
    share: str = "all"

    def __post_init__(self) -> None:
        if self.share not in ("all", "class"):
            raise unknown("share", self.share, ("all", "class"))
        if type(self.components) is not int or self.components < 0:
            raise BadRequest(f"components {self.components!r}: a whole number, 0 or more")

    def build(self, layout: Layout, leaf: Leaf = DENSE) -> Store:
        """Return the components and what mixes them."""
        count = self._count(layout)
        kept = leaf.make(count * layout.classes, layout.shape)
        return OrderedImages(layout, count, self.share == "class", kept)

    def values(self, layout: Layout, leaf: Leaf = DENSE) -> int:
        """Return the values of the components."""
        return self._count(layout) * layout.classes * leaf.values(layout.shape)

    def beside(self, layout: Layout) -> int:
        """Return the values of U and Σ."""
        groups = layout.classes if self.share == "class" else 1
        return groups * self._count(layout) * (layout.per_class + 1)

    def build_labels(self, layout: Layout, images: Store) -> Store:
        """Return the components of the labels, mixed as those of ``images``."""
        assert isinstance(images, OrderedImages)
        return OrderedLabels(images)

    def label_values(self, layout: Layout) -> int:
        """Return the values of the components of the labels."""
        return self._count(layout) * layout.classes**2

    def table(self, layout: Layout) -> Table:
        """Return of which class's components each row is which mixture."""
        return by_class(layout, layout.per_class)

    def smaller(self, *, nested: bool = False) -> Parametrization:
        """Return the form of as many images as there are components."""
        del nested
        return dataclasses.replace(self, components=0)

    def beginning(self, layout: Layout, count: int) -> Beginning[Parametrization]:
        """Read the most significant components, which are stored before the others."""
        kept, classes = self._count(layout), layout.classes
        groups = classes if self.share == "class" else 1
        shapes = {COEFFICIENTS: (groups, layout.per_class, kept), SIGNIFICANCE: (groups, kept)}
        return Beginning(
            dataclasses.replace(layout, per_class=count),
            self.smaller(),
            (range(count * classes),),
            kept * classes,
            shapes,
            lambda tensors: _smaller_of(tensors, count),
        )

    def _count(self, layout: Layout) -> int:
        if self.components > layout.per_class:
            raise BadRequest(
                f"{self.components} components for {layout.per_class} images per class: at most "
                "as many components as images"
            )
        return self.components or layout.per_class


class OrderedImages(Store):
    """Image i of class k is Σ_j U[i, j] · s[j] · V[j, k].

    U is the orthogonal factor of a learnt matrix (n×b), so its columns are orthonormal; s are
    the significances of the components. Components are stored with the most significant of all
    classes first, so a smaller set is the beginning of every tensor.

    Args:
        layout: the rows.
        count: b, from 1 to n.
        own: whether each class has a U and Σ of its own.
        components: holds b·K rows of the images' shape; row j·K + k is component j of class k.
    """

    def __init__(self, layout: Layout, count: int, own: bool, components: Store) -> None:
        super().__init__(layout.rows, layout.shape)
        self.layout = layout
        self.components = components
        groups = layout.classes if own else 1
        self.coefficients = nn.Parameter(torch.zeros(groups, layout.per_class, count))
        self.significance = nn.Parameter(torch.zeros(groups, count))
        if not only_shapes():
            with torch.no_grad():
                self.coefficients.copy_(torch.eye(layout.per_class, count))

    @property
    def kept(self) -> int:
        """Number of components b of a class."""
        return self.significance.shape[1]

    def orthogonal(self) -> Tensor:
        """Return U, G×n×b float32, with orthonormal columns."""
        return orthogonal_factor(self.coefficients)

    def mixed(self, components: Callable[[Tensor], Tensor], index: Tensor) -> Tensor:
        """Return the rows at ``index`` (B) of U·Σ·V as B×D.

        Args:
            components: gives the rows of V (b·K rows, float32) at an index; those of classes
                that ``index`` does not touch are not asked for.
            index: rows wanted.
        """
        classes, n = self.layout.classes, self.layout.per_class
        wanted, position = torch.unique(index // n, return_inverse=True)
        weights = self.orthogonal() * self.significance.float().unsqueeze(1)
        if len(weights) > 1:
            weights = weights[wanted]
        # classes that share weights lie side by side, so that one product serves them all
        together = len(wanted) // len(weights)
        first = torch.arange(self.kept, device=index.device).view(1, -1, 1) * classes
        rows = (first + wanted.view(-1, 1, together)).flatten()
        values = components(rows).view(len(weights), self.kept, -1)
        made = torch.bmm(weights, values).view(len(wanted) * n, -1)
        row = (position // together * n + index % n) * together + position % together
        return made.index_select(0, row)

    def forward(self, index: Tensor) -> Tensor:
        """Return the rows at ``index``."""
        return self.mixed(self.components, index).view(len(index), *self.item)

    def bound(self) -> float:
        """Return the sum of all significances' bounds times that of a component."""
        # no value of U is above 1
        return self.mixed_bound(self.components.bound())

    def mixed_bound(self, component: float) -> float:
        """Return the bound of a row that is made of components with the given one."""
        return max(1.0, self.kept) * largest(self.significance) * max(1.0, component)

    @torch.no_grad()
    def start_from_noise(self, key: Key) -> None:
        """Draw images from N(0, 1) and fit them."""
        self.fit(torch.randn(self.count, *self.item, generator=key.generator()))

    @torch.no_grad()
    def fit(self, rows: Tensor) -> None:
        """Make image j of a class component j, with U the identity, as the paper starts.

        The significance of a component is the norm of its image; where classes share it, the
        root of the mean square of theirs. With fewer components than images, they are factored
        instead.
        """
        if self.kept < self.layout.per_class:
            self.factor(rows)
            return
        values = _of_class(rows, self.layout)
        squares = values.square().sum(dim=2)
        if len(self.significance) == 1:
            squares = squares.mean(dim=0, keepdim=True)
        self._set(torch.eye(self.layout.per_class), squares.sqrt(), values)

    @torch.no_grad()
    def factor(self, rows: Tensor, labels: Tensor | None = None) -> None:
        """Find U and Σ of given rows, so that the first components hold as much as can be.

        With as many components as images, the rows are kept exactly. U holds the eigenvectors of
        the Gram matrix of a class's images and labels, where both have the same mean energy; of
        the mean of these matrices, where classes share U.

        Args:
            rows: N×C×H×W images.
            labels: N×K label values that shall be told by the first components, too; to be
                given to the store of labels afterwards.
        """
        values = _of_class(rows, self.layout)
        joint = values
        if labels is not None:
            beside = _of_class(labels, self.layout)
            size = beside.norm()
            ratio = torch.where(size > 0, values.norm() / size, 0.0)
            joint = torch.cat([values, beside * ratio], dim=2)
        gram = joint @ joint.mT
        if len(self.significance) == 1:
            gram = gram.mean(dim=0, keepdim=True)
        found, vectors = torch.linalg.eigh(gram)
        mixing = vectors.flip(-1)[..., : self.kept]
        # eigenvectors have no sign; most of a component should be added, not taken away
        mixing = mixing * torch.where(mixing.sum(dim=1, keepdim=True) < 0, -1.0, 1.0)
        self._set(mixing, found.flip(-1)[..., : self.kept].clamp_min(0).sqrt(), values)

    def solve(self, values: Tensor) -> Tensor:
        """Return V (b×K×D, float64) for which U·Σ·V comes nearest to ``values`` (K×n×D)."""
        scale = self.significance.double().cpu().unsqueeze(2)
        size = scale.abs()
        inverse = torch.where(size > size.amax() * _NEGLIGIBLE, 1 / scale, 0.0)
        mixing = orthogonal_factor(self.coefficients.cpu().double())
        return (inverse * (mixing.mT @ values)).transpose(0, 1)

    def roles(self) -> Mapping[str, list[nn.Parameter]]:
        """Return components, U and Σ as one role."""
        return {"images": list(self.parameters())}

    @torch.no_grad()
    def settle(self, labels: Store | None) -> None:
        """Put the most significant component first, and U in place of the learnt matrix."""
        groups, classes = len(self.significance), self.layout.classes
        order = self.significance.abs().argsort(dim=1, descending=True, stable=True)
        sign = self.significance.gather(1, order).sign()
        mixing = self.orthogonal().gather(2, order.unsqueeze(1).expand_as(self.coefficients))
        self.coefficients.copy_(mixing * sign.where(sign != 0, 1.0).unsqueeze(1))
        self.significance.copy_(self.significance.gather(1, order).abs())
        # row j·K + k of the components is to be what was component order[k][j] of class k
        rows = order.T.expand(-1, classes if groups == 1 else groups) * classes
        rows = (rows + torch.arange(classes, device=rows.device)).flatten()
        for store in (self.components, labels):
            if store is not None:
                for tensor in store.parameters():
                    tensor.copy_(tensor[rows])

    def _set(self, mixing: Tensor, significance: Tensor, values: Tensor) -> None:
        self.coefficients.copy_(mixing.expand(self.coefficients.shape))
        self.significance.copy_(significance)
        solved = self.solve(values)
        self.components.fit(solved.reshape(-1, *self.item).float())


class OrderedLabels(Store):
    """Label i of class k is Σ_j U[i, j] · s[j] · V_y[j, k], with U and s of the images.

    Args:
        images: the store of the images.
    """

    def __init__(self, images: OrderedImages) -> None:
        classes = images.layout.classes
        super().__init__(images.layout.rows, (classes,))
        # in a tuple, so that it is no part of this module and not stored twice
        self._images = (images,)
        self.components = nn.Parameter(torch.zeros(images.kept * classes, classes))

    def forward(self, index: Tensor) -> Tensor:
        """Return the labels at ``index``, B×K."""
        return self._images[0].mixed(lambda rows: self.components[rows].float(), index)

    def bound(self) -> float:
        """Return the bound of labels, as of images."""
        return self._images[0].mixed_bound(largest(self.components))

    @torch.no_grad()
    def start_from_noise(self, key: Key) -> None:
        """Draw labels from N(0, 1) and fit them."""
        self.fit(torch.randn(self.count, *self.item, generator=key.generator()))

    @torch.no_grad()
    def fit(self, rows: Tensor) -> None:
        """Set the components so that the labels come nearest to ``rows``, N×K."""
        images = self._images[0]
        solved = images.solve(_of_class(rows, images.layout))
        self.components.copy_(solved.reshape(self.components.shape))


def _of_class(rows: Tensor, layout: Layout) -> Tensor:
    """Return N×*item rows as K×n×D in float64 on the CPU."""
    if len(rows) != layout.rows:
        raise BadRequest(f"{len(rows)} rows where {layout.rows} are needed")
    return rows.detach().double().cpu().reshape(layout.classes, layout.per_class, -1)


def _smaller_of(tensors: Mapping[str, Tensor], count: int) -> Mapping[str, Tensor]:
    """Return U and Σ of the smaller set from those of the whole, in the types stored.

    Raises:
        ValueError: the significances do not fall.
    """
    coefficients, significance = tensors[COEFFICIENTS], tensors[SIGNIFICANCE].float()
    if bool((significance < 0).any() or (significance.diff(dim=1) > 0).any()):
        raise ValueError(
            "its significances do not fall, so its beginning is no smaller set; it can be read "
            "whole"
        )
    kept = smaller(coefficients.float(), significance, count)
    return {
        name: new.to(tensors[name].dtype)
        for name, new in zip((COEFFICIENTS, SIGNIFICANCE), kept, strict=True)
    }
