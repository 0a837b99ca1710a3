"""The most images that an allowance holds: one search, whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from attar.budget import Budget, Ledger, proportional
from attar.errors import BadRequest
from attar.shapes import Shape
from attar.storage import Storage
from attar.synthetic.costs import planned_ledger
from attar.synthetic.forms.form import Parametrization
from attar.synthetic.layout import Layout

# what images take that are not there: more than any allowance has
NEVER = 2**62


class Stored(Protocol):
    """What is to be stored: a recipe, or `Kept`."""

    @property
    def parametrization(self) -> Parametrization:
        """The form."""
        ...

    @property
    def learned_labels(self) -> bool:
        """Whether labels are stored, too."""
        ...

    @property
    def rows(self) -> int | None:
        """Images per class, where they do not follow from the allowance."""
        ...


class Sized(Protocol):
    """What a set is made for: a task, data, or the layout of another set."""

    @property
    def classes(self) -> int:
        """K."""
        ...

    @property
    def shape(self) -> Shape:
        """C, H, W of an image."""
        ...


@dataclass(frozen=True)
class Kept:
    """Images in a form, without a recipe that makes them."""

    parametrization: Parametrization
    learned_labels: bool = False
    rows: int | None = None


@dataclass(frozen=True)
class Allowance:
    """What a set may take.

    Args:
        budget: the limit, or a plain count of images per class.
        storage: how values are kept.
        sizes: real images of every class, in proportion to which images are shared out; None for
            as many of every class.
        extras: further tensors that must be kept, such as a whitening matrix.
        measured: the bytes of the tensors of a layout, by name, where these depend on their values;
            asked of each number of images that the search tries.
    """

    budget: Budget
    storage: str | Storage = "float32"
    sizes: Sequence[int] | None = None
    extras: Mapping[str, Tensor] | None = None
    measured: Callable[[Layout], Mapping[str, int]] | None = None


@dataclass(frozen=True)
class Filled:
    """What an allowance holds.

    Args:
        form: in which it is stored.
        layout: the rows.
        ledger: what they cost.
    """

    form: Parametrization
    layout: Layout
    ledger: Ledger


def fill(recipe: Stored, allowance: Allowance, task: Sized) -> Filled:
    """Return the most images that an allowance holds in the form of a recipe.

    Where the recipe fixes the rows, as one whose further images cost next to nothing does, and the
    allowance is in bytes, these are taken, and must fit.

    Raises:
        BadRequest: not even one image per class fits, or not the rows that the recipe fixes; more
            images than the real ones that they are shared out in proportion to.
    """
    classes, shape, budget = task.classes, task.shape, allowance.budget
    less = recipe.parametrization.less

    def cost(layout: Layout) -> Ledger:
        return planned_ledger(
            layout,
            recipe.parametrization,
            allowance.storage,
            recipe.learned_labels,
            allowance.extras,
            allowance.measured,
        )

    def each(images: int) -> Ledger:
        return cost(Layout(classes, images, shape))

    def together(rows: int) -> Ledger:
        if allowance.measured is not None and allowance.sizes is not None:
            return cost(_in_proportion(rows, allowance.sizes, shape))
        # what it costs depends on their number alone, not on how they are shared out
        last = rows - classes + 1
        return cost(Layout(classes, last, shape, (*[1] * (classes - 1), last)))

    limit = budget.limit(classes, shape)
    if recipe.rows is not None and limit is not None:
        layout = _fixed(recipe.rows, allowance, classes, shape)
        taken = cost(layout).of(budget.count)
        if taken > limit:
            raise BadRequest(
                f"a budget of {limit} bytes ({budget.count} count) does not hold the {layout.rows} "
                f"images that the method makes, which take {taken} bytes. Raise --ipc or --bytes, "
                "or give --images-per-class"
            )
    elif allowance.sizes is None:
        layout = Layout(classes, budget.images(classes, shape, each, less), shape)
    else:
        rows = budget.rows(classes, shape, together, less)
        layout = _shared(rows, allowance.sizes, shape)
    return Filled(recipe.parametrization, layout, cost(layout))


def images_within(
    ipc: int,
    layout: Sized,
    form: Parametrization,
    storage: str | Storage,
    measured: Callable[[Layout], Mapping[str, int]] | None = None,
) -> int:
    """Return how many images per class the memory of ``ipc`` full float32 images per class holds.

    Args:
        ipc: the memory, as the papers count.
        layout: classes and shape of the images.
        form: in which they are stored.
        storage: how values are kept.
        measured: as of an `Allowance`.

    Raises:
        BadRequest: not even one image fits.
    """
    allowance = Allowance(Budget(ipc=ipc), storage, measured=measured)
    return fill(Kept(form), allowance, layout).layout.per_class


def _fixed(rows: int, allowance: Allowance, classes: int, shape: Shape) -> Layout:
    if allowance.sizes is None:
        return Layout(classes, rows, shape)
    return _shared(rows * classes, allowance.sizes, shape)


def _shared(rows: int, sizes: Sequence[int], shape: Shape) -> Layout:
    """Return ``rows`` images shared out in proportion to the real ones."""
    if rows > sum(sizes):
        raise BadRequest(
            f"--per-class-budget proportional: {rows} images are more than the {sum(sizes)} "
            "training images that they are shared out in proportion to; ask for less"
        )
    return _in_proportion(rows, sizes, shape)


def _in_proportion(rows: int, sizes: Sequence[int], shape: Shape) -> Layout:
    counts = proportional(sizes, rows)
    differ = counts if len(set(counts)) > 1 else None
    return Layout(len(sizes), max(counts), shape, differ)
