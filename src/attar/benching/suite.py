"""What a suite is: datasets × methods × budgets × networks × seeds, as a YAML file says it.

::

    name: my-table                    # letters, digits, - and _; the file's name if left out
    title: What the table shows
    table: plugin/2                   # published table to stand beside; optional
    datasets:
      cifar10: cifar10                # name: source; 'attar sources' lists them
      tiny_imagenet: {source: tiny_imagenet, classes: 10, per_class: 500, resize: 64}
    methods:
      - random                        # names of 'attar methods'
      - {method: lodm, name: LoDM rank 4, rank: 4}   # with any option of 'attar condense'
    budgets: [1, 10, 120kB, {images_per_class: 7}]   # a number: memory of so many images a class
    networks: [convnet3]              # to evaluate with
    seeds: 5                          # condensed sets: seeds 0 to 4; or a list of seeds
    repeats: 5                        # networks per set
    evaluation: {card: dsa-1000, epochs: 1000}       # left out: every method's own card
    options: {validation: 0}          # for every method
    slimming: {ways: [learning-based, learning-free], iterations: 2000, options: {lr: 0.01}}
    experts: {count: 100, epochs: 50} # options of 'attar experts', for methods that follow any
    whole: true                       # also the networks trained on all real images
    skip:                             # cells that the table does not have
      - {dataset: tiny_imagenet, budget: 50}
      - {method: [dc, lodc], network: convnet3}
    sizes:                            # chosen with --size; every key is optional
      paper: {}
      laptop:
        datasets: [cifar10]           # of those above, by name
        methods: [random, lodm]       # of those above, by name
        budgets: [1]
        networks: [convnet3]
        seeds: 1
        repeats: 2
        classes: 3
        per_class: 500
        resize: 32
        width: 32                     # of every network that has one, in both
        minutes: 2                    # or iterations; for every method that makes updates
        slimming: {minutes: 1}        # or iterations; left out: as long as the sets above
        experts: {count: 4, epochs: 22}
        epochs: 100
        options: {average: 0.95}
        shrinks: anything else to be told beside the table

With ``slimming``, or a list of its ways alone, every row that is learnt is also slimmed from its
largest set along the falling budgets, each set from the one before. A method's ``slim`` holds
options of `attar slim` of its own; ``slim: false`` leaves it out.

A method that follows expert trajectories, such as ``mtt``, needs ``experts``, or a folder of them
as its own option ``experts``. Those of the suite are trained once for each dataset, network and
whitening.

The dataset's name says which published settings apply, so a file is named like its dataset
(``npz:cifar10.npz``). A published figure is looked up under a method's ``published`` name, by
default ``method``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from attar.benching.options import EXPERT_KINDS, check_keys, checked_options, refusal
from attar.benching.reading import Document, read_document
from attar.benching.slimming import Minutes, SlimmingEntry, Updates, row_options
from attar.budget import Budget
from attar.errors import BadRequest, unknown


def _as_mapping(key: str) -> BeforeValidator:
    """Let a value alone stand for a mapping with one key."""
    return BeforeValidator(
        lambda value: value if isinstance(value, dict | BaseModel) else {key: value}
    )


def _allowance(value: Any) -> Any:
    """Let a number stand for images per class, and a text for a size in bytes."""
    if isinstance(value, dict | BaseModel):
        return value
    return {"bytes" if isinstance(value, str) else "ipc": value}


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _by_name(value: Any) -> Any:
    """Let a list of sources name its datasets after them."""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return {one: one for one in value}
    return value


def _ways(value: Any) -> Any:
    """Let a list of ways, or ``true`` for both, stand for how sets are slimmed."""
    if value is True:
        return {}
    if not isinstance(value, list | Mapping | SlimmingEntry | None):
        raise refusal(
            f"{value!r}: write true, a list of learning-based and learning-free, or a mapping; "
            "leave it out to slim nothing"
        )
    return {"ways": value} if isinstance(value, list) else value


def _seeds(value: Any) -> Any:
    if type(value) is int:
        if value < 1:
            raise refusal(f"{value}: at least 1 set is needed")
        return list(range(value))
    return value


class _Strict(BaseModel):
    """Refuses keys that it does not know, with the near names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, given: Any) -> Any:
        if isinstance(given, dict) and cls.model_config.get("extra") == "forbid":
            check_keys(given, cls.model_fields)
        return given


Whole = Annotated[int, Field(strict=True, ge=1)]
Names = Annotated[list[str], BeforeValidator(_as_list)]
Seeds = Annotated[list[Annotated[int, Field(strict=True, ge=0)]], BeforeValidator(_seeds)]
Ways = Annotated[SlimmingEntry | None, BeforeValidator(_ways)]
Options = Annotated[dict[str, Any], BeforeValidator(lambda value: _options(value))]


ExpertOptions = Annotated[
    dict[str, Any] | None, BeforeValidator(lambda value: _expert_options(value))
]


def _expert_options(value: Any) -> Any:
    return checked_options(value, kinds=EXPERT_KINDS) if isinstance(value, Mapping) else value


def _options(value: Any) -> Any:
    return checked_options(value) if isinstance(value, Mapping) else value


class DatasetEntry(_Strict):
    """A dataset: its source, and the part of it that is taken, as `attar condense` does."""

    source: str
    classes: int | str | list[int | str] | None = None
    per_class: Whole | None = None
    resize: Whole | None = None

    def reading(self) -> dict[str, Any]:
        """Return the options of reading that are given."""
        return self.model_dump(exclude={"source"}, exclude_none=True)


class MethodEntry(_Strict):
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


class BudgetEntry(_Strict):
    """An allowance: one of ``ipc``, ``bytes`` and ``images_per_class``."""

    ipc: Whole | None = None
    bytes: str | int | None = None
    images_per_class: Whole | None = None
    count: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        from attar.request import Request

        try:
            Request(**self.options)
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
        from attar.request import Request

        return Request(**self.options).budget()

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


Allowance = Annotated[BudgetEntry, BeforeValidator(_allowance)]


class EvaluationEntry(_Strict):
    """How sets are evaluated: the card (every method's own if left out) and its epochs."""

    card: str | None = None
    epochs: Whole | None = None


class Filter(_Strict):
    """Cells: those that agree with everything that is given. A number stands for its ipc."""

    dataset: Names = []
    method: Names = []
    budget: Annotated[list[str | int], BeforeValidator(_as_list)] = []
    network: Names = []

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


class Size(_Strict):
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
    options: Options = {}
    shrinks: str = ""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.iterations is not None and self.minutes is not None:
            raise refusal("give iterations or minutes, not both")
        for name in ("iterations", "minutes"):
            if name in self.options:
                raise refusal(f"write {name} beside options, not in it", "options", name)
        return self


class Suite(_Strict):
    """A suite; the module's text shows the format."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    title: str = ""
    table: str | None = None
    datasets: Annotated[
        dict[
            Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")],
            Annotated[DatasetEntry, _as_mapping("source")],
        ],
        BeforeValidator(_by_name),
        Field(min_length=1),
    ]
    methods: Annotated[list[Annotated[MethodEntry, _as_mapping("method")]], Field(min_length=1)]
    budgets: Annotated[
        list[Annotated[BudgetEntry, BeforeValidator(_allowance)]], Field(min_length=1)
    ]
    networks: Annotated[list[str], Field(min_length=1)] = ["convnet3"]
    seeds: Annotated[Seeds, Field(min_length=1)] = [0]
    repeats: Whole = 5
    width: Whole | None = None
    evaluation: EvaluationEntry = EvaluationEntry()
    options: Options = {}
    slimming: Ways = None
    experts: ExpertOptions = None
    whole: bool = False
    skip: list[Filter] = []
    sizes: dict[str, Size] = {}

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


def read_suite(path: Path) -> Suite:
    """Read a suite.

    Raises:
        BadRequest: the file cannot be read or says something that a suite cannot say; names the
            line, the key, the value and what is allowed.
    """
    document = read_document(path)
    value = {"name": path.stem, **document.value}
    try:
        return Suite.model_validate(value)
    except ValidationError as error:
        raise BadRequest("\n".join(_said(document, error))) from None


# of a long list of errors, the first ones
_MOST_ERRORS = 5


def _said(document: Document, error: ValidationError) -> list[str]:
    found = error.errors(include_url=False)
    lines = []
    for one in found[:_MOST_ERRORS]:
        context = one.get("ctx", {})
        place = [*one["loc"], *context.get("place", ())]
        text = context["text"] if one["type"] == "refused" else _plain(one)
        lines.append(f"{document.where(place)}: {text}")
    if len(found) > _MOST_ERRORS:
        lines.append(f"and {len(found) - _MOST_ERRORS} more")
    return lines


def _plain(error: Any) -> str:
    if error["type"] == "missing":
        return f"the key {error['loc'][-1]!r} is missing"
    text = error["msg"][:1].lower() + error["msg"][1:]
    return f"{text}, not {error['input']!r}"
