"""What a suite is: datasets × methods × budgets × networks × seeds.

``suites/README.md`` shows the format of the file.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from attar.benching.entries import Allowance, DatasetEntry, EvaluationEntry, Filter, MethodEntry
from attar.benching.options import check_beside, check_one_of, refusal
from attar.benching.slimming import LENGTHS, Ways
from attar.benching.values import (
    ExpertOptions,
    Minutes,
    Options,
    Seeds,
    Strict,
    Updates,
    Whole,
    as_mapping,
    by_name,
)
from attar.errors import unknown


class Size(Strict):
    """What a size changes; every key is optional."""

    datasets: list[str] | None = None
    methods: list[str] | None = None
    budgets: list[Allowance] | None = None
    networks: list[str] | None = None
    seeds: Seeds | None = None
    repeats: Whole | None = None
    classes: int | str | list[int | str] | None = None
    per_class: Whole | None = None
    resize: Whole | None = None
    width: Whole | None = None
    iterations: Updates | None = None
    minutes: Minutes | None = None
    slimming: Ways = None
    experts: ExpertOptions = None
    epochs: Whole | None = None
    updates: Whole | None = None
    teacher_epochs: Whole | None = None
    options: Options = Field(default_factory=dict)
    rows: dict[str, Options] = Field(default_factory=dict)
    shrinks: str = ""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        check_one_of(iterations=self.iterations, minutes=self.minutes)
        check_one_of(epochs=self.epochs, updates=self.updates)
        check_beside(self.options, LENGTHS, "options")
        for options in self.rows.values():
            check_one_of(**{one: options.get(one) for one in LENGTHS})
        return self


class Suite(Strict):
    """A suite; ``suites/README.md`` shows the format."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    title: str = ""
    table: str | None = None
    datasets: Annotated[
        dict[
            Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")],
            Annotated[DatasetEntry, as_mapping("source")],
        ],
        BeforeValidator(by_name),
        Field(min_length=1),
    ]
    methods: Annotated[list[Annotated[MethodEntry, as_mapping("method")]], Field(min_length=1)]
    budgets: Annotated[list[Allowance], Field(min_length=1)]
    networks: Annotated[list[str], Field(min_length=1)] = Field(
        default_factory=lambda: ["convnet3"]
    )
    seeds: Annotated[Seeds, Field(min_length=1)] = Field(default_factory=lambda: [0])
    repeats: Whole = 5
    width: Whole | None = None
    evaluation: EvaluationEntry = EvaluationEntry()
    options: Options = Field(default_factory=dict)
    slimming: Ways = None
    experts: ExpertOptions = None
    whole: bool = False
    skip: list[Filter] = Field(default_factory=list)
    sizes: dict[str, Size] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names(self) -> Self:
        repeated: tuple[tuple[str, list[Any]], ...] = (
            ("methods", self.method_names),
            ("budgets", self.budget_names),
            ("networks", self.networks),
            ("seeds", self.seeds),
        )
        for key, names in repeated:
            for index, name in enumerate(names):
                if name in names[:index]:
                    more = "; give one of them another 'name'" if key == "methods" else ""
                    raise refusal(f"{name!r} is there twice{more}", key, index)
        for size, one in self.sizes.items():
            self._among(one.datasets, self.datasets, "dataset", "sizes", size, "datasets")
            self._among(one.methods, self.method_names, "method", "sizes", size, "methods")
            self._among(list(one.rows), self.method_names, "method", "sizes", size, "rows")
            if one.teacher_epochs is not None and self.evaluation.teacher is None:
                place = ("sizes", size, "teacher_epochs")
                raise refusal("the suite has no teacher; name one in 'evaluation'", *place)
        self._check_skip()
        self._check_slimming()
        return self

    def _check_slimming(self) -> None:
        """Refuse words on slimming in a suite that slims nothing."""
        if self.slimming is not None:
            return
        places: list[tuple[str | int, ...]] = [
            ("methods", index, "slim") for index, one in enumerate(self.methods) if one.slim
        ]
        places += [("sizes", name, "slimming") for name, one in self.sizes.items() if one.slimming]
        for place in places:
            raise refusal("the suite slims no sets; write 'slimming: true' in it", *place)

    def _check_skip(self) -> None:
        """Refuse names in ``skip`` that neither the suite nor one of its sizes has."""
        budgets, networks = set(self.budget_names), set(self.networks)
        for size in self.sizes.values():
            budgets |= {budget.label for budget in size.budgets or ()}
            networks |= set(size.networks or ())
        for index, one in enumerate(self.skip):
            place = ("skip", index)
            self._among(one.dataset, self.datasets, "dataset", *place, "dataset")
            self._among(one.method, [*self.method_names, "whole"], "method", *place, "method")
            self._among(one.budgets, budgets, "budget", *place, "budget")
            self._among(one.network, networks, "network", *place, "network")

    @staticmethod
    def _among(wanted: list[str] | None, there: Any, kind: str, *place: str | int) -> None:
        for name in wanted or ():
            if name not in there:
                raise refusal(f"{unknown(kind + ' of this suite', name, there)}", *place)

    @property
    def method_names(self) -> list[str]:
        """The names of the rows."""
        return [entry.name for entry in self.methods]

    @property
    def budget_names(self) -> list[str]:
        """The names of the columns."""
        return [entry.label for entry in self.budgets]
