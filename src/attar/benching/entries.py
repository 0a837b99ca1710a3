"""The entries of a suite: datasets, methods, budgets, cells that are left out."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from attar.benching.options import check_one_of, checked_options, refusal
from attar.benching.slimming import row_options
from attar.benching.values import Names, Strict, Whole, as_allowance, as_list, as_mapping
from attar.budget import Budget
from attar.errors import BadRequest
from attar.wording import as_keywords


class DatasetEntry(Strict):
    """A dataset: its source, and the part of it that is taken, as `attar condense` does."""

    source: str
    classes: int | str | list[int | str] | None = None
    per_class: Whole | None = None
    resize: Whole | None = None
    value_range: str | list[float] | None = None
    background: str | None = None
    path_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None

    def reading(self) -> dict[str, Any]:
        """Return the options of reading that are given."""
        return self.model_dump(exclude={"source"}, exclude_none=True)


class MethodEntry(Strict):
    """A method under a name of its own, with options of `attar condense`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    method: str
    name: str = ""
    published: str = ""
    slim: Annotated[bool | dict[str, Any] | None, BeforeValidator(row_options)] = None

    @model_validator(mode="before")
    @classmethod
    def _checked(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        fields = {name: value for name, value in given.items() if name in cls.model_fields}
        rest = {name: value for name, value in given.items() if name not in fields}
        method = given.get("method")
        names = {"name": method, "published": method} if isinstance(method, str) else {}
        return names | fields | checked_options(rest, cls.model_fields)

    @property
    def options(self) -> dict[str, Any]:
        """The options that are given."""
        return dict(self.model_extra or {})

    def without(self, options: Collection[str]) -> MethodEntry:
        """Return the entry without some of its options."""
        kept = {name: value for name, value in self.options.items() if name not in options}
        own = self.model_dump(include={"method", "name", "published", "slim"})
        return MethodEntry(**own, **kept)


class BudgetEntry(Strict):
    """An allowance: one of ``ipc``, ``bytes`` and ``images_per_class``."""

    ipc: Whole | None = None
    bytes: str | int | None = None
    images_per_class: Whole | None = None
    count: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        from attar.condensing.request import Request

        try:
            Request(**as_keywords(self.options))
        except BadRequest as error:
            raise refusal(str(error)) from None
        if not self.options.keys() - {"count"}:
            raise refusal("give one of ipc, bytes and images_per_class")
        return self

    @property
    def options(self) -> dict[str, Any]:
        """The allowance as options of `attar.Request`."""
        return self.model_dump(exclude_none=True)

    def allowance(self) -> Budget:
        """Return the allowance itself."""
        from attar.condensing.request import Request

        return Request(**as_keywords(self.options)).budget()

    @property
    def label(self) -> str:
        """The allowance in a word: ``ipc 10``, ``120kB`` or ``7 images per class``."""
        counted = f" ({self.count})" if self.count else ""
        if self.ipc is not None:
            return f"ipc {self.ipc}{counted}"
        if self.bytes is not None:
            size = self.bytes if isinstance(self.bytes, str) else f"{self.bytes} B"
            return f"{size}{counted}"
        return f"{self.images_per_class} images per class"


Allowance = Annotated[BudgetEntry, BeforeValidator(as_allowance)]


class TeacherEntry(Strict):
    """The teacher of a suite: a network that is trained first, or a trained one on disk.

    ``network`` is what `attar condense --teacher` takes; ``epochs`` are those of the training.
    """

    network: str
    epochs: Whole | None = None

    @model_validator(mode="after")
    def _trained_here(self) -> Self:
        from attar.teachers.finding import is_on_disk

        if self.epochs is not None and is_on_disk(self.network):
            raise refusal(f"{self.network} is trained already; leave epochs out", "epochs")
        return self


class EvaluationEntry(Strict):
    """How sets are evaluated: the card (every method's own if left out), and for how long.

    ``epochs`` are passes over a set, of which a larger one makes more updates; ``updates`` is one
    number for all sets. A ``teacher`` makes the sets of methods that look at one, and labels
    batches of every set in rows beside those of the labels that it has.
    """

    card: str | None = None
    epochs: Whole | None = None
    updates: Whole | None = None
    teacher: Annotated[TeacherEntry, as_mapping("network")] | None = None

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        check_one_of(epochs=self.epochs, updates=self.updates)
        return self


class Filter(Strict):
    """Cells: those that agree with everything that is given. A number stands for its ipc."""

    dataset: Names = Field(default_factory=list)
    method: Names = Field(default_factory=list)
    budget: Annotated[list[str | int], BeforeValidator(as_list)] = Field(default_factory=list)
    network: Names = Field(default_factory=list)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.dataset or self.method or self.budget or self.network):
            raise refusal("name at least one of dataset, method, budget and network")
        return self

    @property
    def budgets(self) -> list[str]:
        """The budgets by label."""
        return [f"ipc {one}" if isinstance(one, int) else one for one in self.budget]

    def covers(self, dataset: str, method: str, budget: str, network: str) -> bool:
        """Tell whether a cell is meant."""
        pairs = ((self.dataset, dataset), (self.method, method), (self.budgets, budget))
        if not all(not wanted or given in wanted for wanted, given in pairs):
            return False
        return not self.network or network in self.network
