"""Images and labels made of components that are ordered by significance: X = U·Σ·V.

Source: Slimmable Dataset Condensation, section 3.4, equation 8.

Shape letters: K classes, n images per class, b components per class, G groups that share U and
Σ (1 or K), B rows asked for, D values of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from attar.errors import BadRequest
from attar.rng import Key
from attar.synthetic.layout import Layout
from attar.synthetic.stores import Store, largest

# tensors that must be kept beside what the papers count, and what they are for
BESIDE = {
    "images.coefficients": "U: how much of each component is in each image",
    "images.significance": "Σ: how much each component contributes",
}
# below this share of the largest significance a component is nothing but rounding
_NEGLIGIBLE = 1e-6


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


@torch.no_grad()
def smaller(coefficients: Tensor, significance: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return U and Σ of ``count`` images per class made of the first ``count`` components.

    The components stay as they are, so their first ``count``·K rows are the smaller set. Its
    images stand for those with the most energy Σ_j (U[i, j]·s[j])² in what is kept (of equals,
    the first): U' is the orthonormal matrix nearest to their rows of U, and Σ' is Σ times the one
    factor that keeps their energy. With U the identity, these are the first images themselves.

    Any orthonormal U' and any Σ' > 0 leave the least squares solution alone: for X = U·Σ·V_x and
    Y = U·Σ·V_y with independent rows of V_x, pinv(X)·Y = pinv(V_x)·V_y. So the choice decides how
    the images look and weigh, not what linear regression on them finds.

    Args:
        coefficients: G×n×b, the learnt matrix or its orthogonal factor U.
        significance: G×b, not negative, each row falling, as `OrderedImages.settle` leaves it.
        count: k, from 1 to b.

    Returns:
        U' (G×k×k, orthonormal columns) and Σ' (G×k), in the types given.

    Raises:
        BadRequest: a count outside 1 to b.
    """
    most = significance.shape[1]
    if not 1 <= count <= most:
        raise BadRequest(f"{count} components of {most}: from 1 to {most} can be kept")
    kept = significance[:, :count].double()
    mixing = orthogonal_factor(coefficients.double())[..., :count]
    energy = (mixing * kept.unsqueeze(1)).square().sum(dim=2)
    share = energy / energy.amax(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    # in float32, so that rounding does not choose among equals
    order = share.float().argsort(dim=1, descending=True, stable=True)
    rows = order[:, :count].sort(dim=1).values
    chosen = mixing.gather(1, rows.unsqueeze(2).expand(-1, -1, count))
    before = kept.square().sum(dim=1)
    ratio = energy.gather(1, rows).sum(dim=1) / before.where(before > 0, 1.0)
    scale = ratio.where(before > 0, 1.0).sqrt().unsqueeze(1)
    mixed = orthogonal_factor(chosen)
    return mixed.to(coefficients.dtype), (kept * scale).to(significance.dtype)


def orthogonal_factor(matrix: Tensor) -> Tensor:
    """Return P·Qᵀ of the singular value decomposition P·S·Qᵀ: the nearest orthonormal columns.

    Differentiable, also where singular values are equal, as they are at the identity.

    Args:
        matrix: …×n×b with n ≥ b.
    """
    return _OrthogonalFactor.apply(matrix)  # pyright: ignore[reportReturnType]


class _OrthogonalFactor(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        # on the CPU: the matrices are small, and every device gives the same U
        left, scale, right = torch.linalg.svd(matrix.double().cpu(), full_matrices=False)
        ctx.save_for_backward(left, scale, right)
        return (left @ right).to(matrix)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        left, scale, right = ctx.saved_tensors
        slope = gradients[0].double().cpu()
        tiny = torch.finfo(torch.float64).eps * scale.amax(dim=-1)[..., None, None]
        inside = left.mT @ slope @ right.mT
        sums = (scale.unsqueeze(-1) + scale.unsqueeze(-2)).clamp_min(tiny)
        found = left @ ((inside - inside.mT) / sums) @ right
        outside = slope @ right.mT - left @ inside
        found = found + (outside / scale.unsqueeze(-2).clamp_min(tiny)) @ right
        return found.to(gradients[0])
