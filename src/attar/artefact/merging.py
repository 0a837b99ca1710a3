"""`attar.merge`: several artefacts made one, their classes numbered anew."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

import attar
from attar.artefact.artefact import Artefact
from attar.artefact.coding import check_alone, check_parted
from attar.artefact.header import Header
from attar.data.modality import rows_of
from attar.data.preprocessing import Preprocessing
from attar.errors import BadRequest, unknown
from attar.synthetic import PLAIN, Layout, Synthetic

Shared = Literal["refuse", "join", "apart"]
_SHARED = ("refuse", "join", "apart")
# what a header says of a run, and does not hold of several
_METHOD = "merged"
_PIXELS = "--pixels (from Python pixels=True) stores pixels"


@torch.no_grad()
def merge(*artefacts: Artefact, shared: Shared = "refuse", pixels: bool = False) -> Artefact:
    """Return one set of the images of several, class after class.

    Classes are known by their names: those of the first artefact come first, then those that the
    others add. Stored values are kept as they are; pixels under other constants of normalisation
    are brought under those of the first artefact.

    Args:
        *artefacts: two or more, of one shape, stored in one form and type, with class labels.
        shared: what a name that several artefacts have stands for: ``join`` for one class, whose
            images are put together; ``apart`` for different classes, called ``name (2)`` from the
            second artefact on; ``refuse`` raises.
        pixels: store all images as pixels, which brings together artefacts of other forms, types
            and constants, and takes the bytes of pixels.

    Raises:
        BadRequest: fewer than two artefacts, or artefacts that do not go together.

    Example:
        >>> both = attar.merge(attar.load("a.safetensors"), attar.load("b.safetensors"))
        ... # doctest: +SKIP
        >>> both.header.class_names  # doctest: +SKIP
        ['cat', 'dog', 'car', 'ship']
    """
    if odd := [one for one in artefacts if not isinstance(one, Artefact)]:
        raise BadRequest(f"merge: {odd[0]!r} is no artefact; attar.load reads one")
    if len(artefacts) < 2:
        raise BadRequest(f"merge: {len(artefacts)} artefact(s) given; two or more are needed")
    if shared not in _SHARED:
        raise unknown("value of shared", str(shared), _SHARED)
    for one in artefacts:
        check_alone(one.carried, "merge", "condense it anew with --teacher-storage none")
    _check(artefacts, pixels=pixels)
    if odd := sorted({name for one in artefacts for name in one.learned}):
        warnings.warn(
            f"merge: {', '.join(odd)} was learnt beside one of the sets alone, and is left out of "
            "the merged one",
            stacklevel=2,
        )
    named = _names(artefacts, shared)
    names = list(dict.fromkeys(name for own in named for name in own))
    # rows of each class, artefact by artefact
    origin = [
        [
            (index, row)
            for index, (one, own) in enumerate(zip(artefacts, named, strict=True))
            if name in own
            for row in one.header.layout.rows_of(own.index(name))
        ]
        for name in names
    ]
    counts = tuple(map(len, origin))
    first = artefacts[0]
    layout = Layout(
        len(names), max(counts), first.header.shape, counts if len(set(counts)) > 1 else None
    )
    form = PLAIN if pixels else first.synthetic.parametrization
    storage = "float32" if pixels else first.header.storage
    found = Synthetic(layout, form)
    rows = [place for own in origin for place in own]
    if form.keeps_exactly:
        found.images.fit(_gathered([_inputs(one, first.preprocessing) for one in artefacts], rows))
    else:
        stored = [one.synthetic.state_dict() for one in artefacts]
        found.load_state_dict(
            {name: _gathered([one[name] for one in stored], rows) for name in stored[0]}
        )
    header = _header(artefacts, names, found, storage)
    return Artefact.rounded(header, found, first.preprocessing)


def _gathered(tensors: Sequence[Tensor], rows: Sequence[tuple[int, int]]) -> Tensor:
    """Return rows of several tensors, each named by its tensor and its place there."""
    starts = torch.tensor([0, *(len(one) for one in tensors)]).cumsum(0)
    return torch.cat(list(tensors))[torch.tensor([int(starts[i]) + row for i, row in rows])]


def _inputs(artefact: Artefact, wanted: Preprocessing) -> Tensor:
    if artefact.preprocessing == wanted:
        return artefact.images
    return wanted.apply(artefact.preprocessing.invert(artefact.images))


def _names(artefacts: Sequence[Artefact], shared: Shared) -> list[list[str]]:
    """Return the names that the classes of each artefact have in the whole."""
    taken: set[str] = set()
    named = []
    for number, one in enumerate(artefacts, start=1):
        own = list(one.header.class_names)
        both = [name for name in own if name in taken]
        if both and shared == "refuse":
            raise BadRequest(
                f"merge: artefact {number} has the class {both[0]!r}, which one before it has, "
                "too; --shared join puts the images of one name together, --shared apart keeps the "
                "classes apart (from Python shared='join', shared='apart')"
            )
        if shared == "apart":
            own = [_new(name, number, taken) for name in own]
        taken |= set(own)
        named.append(own)
    return named


def _new(name: str, number: int, taken: set[str]) -> str:
    while name in taken:
        name = f"{name} ({number})"
    return name


def _check(artefacts: Sequence[Artefact], *, pixels: bool) -> None:
    """Refuse artefacts that cannot be one."""
    first = artefacts[0]
    for number, one in enumerate(artefacts, start=1):
        where = f"merge: artefact {number}"
        if one.header.learned_labels:
            raise BadRequest(
                f"{where} has learnt labels, values for its own classes only; merge sets with "
                "class labels, such as those of dm"
            )
        if one.header.shape != first.header.shape:
            raise BadRequest(
                f"{where} holds {rows_of(one.header.shape)}, the first "
                f"{rows_of(first.header.shape)}; condense both from rows of one shape, such as "
                "pictures with one --resize"
            )
        whitenings = one.preprocessing.whitening, first.preprocessing.whitening
        if whitenings[0] != whitenings[1]:
            raise BadRequest(
                f"{where} was whitened otherwise than the first; condense both from data whitened "
                "together, or with --zca none"
            )
        if pixels:
            continue
        forms = [each.synthetic.parametrization for each in (one, first)]
        if forms[0] != forms[1] or one.header.storage != first.header.storage:
            raise BadRequest(
                f"{where} is stored as {forms[0].name} in {one.header.storage}, the first as "
                f"{forms[1].name} in {first.header.storage} (or with other settings); {_PIXELS}"
            )
        if one.preprocessing != first.preprocessing and not forms[0].keeps_exactly:
            raise BadRequest(
                f"{where} is normalised by other constants (mean {one.preprocessing.mean}, "
                f"deviation {one.preprocessing.std}) than the first ({first.preprocessing.mean}, "
                f"{first.preprocessing.std}); {_PIXELS} under those of the first"
            )
        check_parted(one.storage, where, f"{_PIXELS}")
        if not forms[0].by_row:
            raise BadRequest(
                f"{where} is stored as {forms[0].name}, in which images share what is stored; "
                f"{_PIXELS}"
            )


def _where(headers: Sequence[Header], names: list[str]) -> dict[str, Any]:
    """Return the source of all, and how the classes are read from it, where it is one."""
    sources = {header.provenance.get("source") for header in headers}
    readings = [dict(header.provenance.get("reading") or {}) for header in headers]
    for reading in readings:
        reading.pop("classes", None)
    known = {name for header in headers for name in header.class_names}
    if (
        len(sources) > 1
        or not known.issuperset(names)
        or readings.count(readings[0]) < len(headers)
    ):
        return {}
    return {"source": sources.pop(), "reading": {**readings[0], "classes": names}}


def _header(
    artefacts: Sequence[Artefact], names: list[str], found: Synthetic, storage: str
) -> Header:
    headers = [one.header for one in artefacts]
    first = headers[0]
    methods = {header.method for header in headers}
    provenance: dict[str, Any] = {
        "merged": [
            {
                "method": header.method,
                "classes": header.class_names,
                "source": header.provenance.get("source"),
                "command": header.provenance.get("command"),
            }
            for header in headers
        ],
        "dataset": " and ".join(
            dict.fromkeys(str(header.provenance.get("dataset", "?")) for header in headers)
        ),
        "attar": attar.__version__,
    }
    provenance |= _where(headers, names)
    settings = {"card": first.settings["card"]} if "card" in first.settings else {}
    return Header(
        class_names=names,
        shape=first.shape,
        images_per_class=found.layout.per_class,
        class_counts=None if found.layout.counts is None else list(found.layout.counts),
        parametrization=found.parametrization.describe(),
        storage=storage,
        mean=first.mean,
        std=first.std,
        zca=first.zca,
        method=methods.pop() if len(methods) == 1 else _METHOD,
        settings=settings,
        seed=first.seed,
        provenance=provenance,
    )
