"""A smaller set that a stored one begins with: which rows of its tensors it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from torch import Tensor

from attar.synthetic.layout import Layout

Form = TypeVar("Form")


def _as_they_are(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    del tensors
    return {}


@dataclass(frozen=True)
class Beginning(Generic[Form]):
    """How a smaller set is read out of a larger one.

    Args:
        layout: its rows.
        form: in which it is stored.
        wanted: the rows that belong to it, of every tensor of the set that is not in `whole`.
        rows: how many rows these tensors have.
        whole: shapes, by name, of the tensors that are needed whole.
        made: from these tensors to those that take their place; it raises `ValueError` where
            they hold no smaller set.
    """

    layout: Layout
    form: Form
    wanted: Sequence[range]
    rows: int
    whole: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    made: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] = _as_they_are
