"""`attar show`: what an artefact is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from attar.cli.console import Grid, out, print_json
from attar.options import Whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from attar.artefact.artefact import Artefact
    from attar.artefact.header import Header


@dataclass(frozen=True)
class Show:
    """Print what an artefact is: its header, its bytes, how it was made."""

    artefact: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT.safetensors")]
    """The .safetensors file."""
    ipc: Whole = None
    """Show the smaller set of this many full images' memory per class that is read out of it."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Carry it out."""
        show(self)


def show(options: Show) -> None:
    """Run `attar show`."""
    from attar.artefact.loading import load

    artefact = load(options.artefact, options.ipc)
    if options.json:
        from attar.face.files import labels_beside

        beside = labels_beside(options.artefact, artefact)
        print_json({"path": str(options.artefact), **artefact_facts(artefact), **beside})
    else:
        print_header(artefact, options.artefact)


def artefact_facts(artefact: Artefact) -> dict[str, Any]:
    """Return the header of an artefact with its sizes."""
    from attar.face.files import describe

    return describe(artefact)


def _parts(told: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what became of the real images, where that is told."""
    if not told:
        return []
    said = [f"{told.get('condensed')} condensed"]
    if told.get("held_out"):
        said.append(f"{told['held_out']} held out to select the iterate")
    if told.get("validation"):
        said.append(f"{told['validation']} validation images select the iterate")
    said.append(f"{told.get('test') or 'none'} kept for testing")
    return [("real images", f"{', '.join(said)} ({told.get('note')})")]


def _origin(header: Header) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return of what a set was made, and by what."""
    told = header.provenance
    if merged := told.get("merged"):
        parts = [f"{one['method']} on {one['source'] or 'data not told'}" for one in merged]
        commands = [str(one["command"] or "not told") for one in merged]
        whitening = ("whitening", header.zca)
        return [*_under("merged of", parts), whitening], _under("parts made by", commands)
    own = "imported" not in told
    return [
        ("method", f"{header.method} (seed {header.seed})" if own else header.method),
        *([("matched", matched)] if (matched := _matched(header)) else []),
        ("data", f"{told.get('source', 'not told')}, zca {header.zca}"),
    ], [
        (
            "iterate",
            f"{header.iterate}, step {header.step}{_held(header)}" if own else "as imported",
        ),
        ("made by", str(told.get("command", "not told"))),
    ]


def _matched(header: Header) -> str:
    """Return the objective in words; empty where none is told."""
    told = header.settings.get("objective")
    if not isinstance(told, Mapping):
        return ""
    terms = told.get("terms")
    if not isinstance(terms, list):
        return str(told.get("name", ""))
    weighed = (term for term in terms if isinstance(term, Mapping))
    return " + ".join(f"{term.get('weight', 1):g}·{term.get('name')}" for term in weighed)


def _values(learned: Tensor) -> str:
    """Return what was learnt beside a set: one number, or the least and the greatest of several."""
    if learned.numel() == 1:
        return f"{learned.item():.4g}, learnt beside the set"
    return f"{learned.numel()} of {learned.min():.4g} to {learned.max():.4g}, learnt beside the set"


def _under(title: str, lines: Sequence[str]) -> list[tuple[str, str]]:
    return [("" if index else title, line) for index, line in enumerate(lines)]


def _labels(told: Mapping[str, Any]) -> list[str]:
    """Return what labels take, stored or made anew by a teacher."""
    from attar.budget import format_bytes

    lines = []
    if "stored_bytes" in told:
        by = f", from {told['stored_from']} by attar relabel" if "stored_from" in told else ""
        lines.append(f"{told['stored_bytes']} B stored{by}")
    if teacher := told.get("teacher"):
        by = f"from {teacher['network']} ({teacher.get('origin')}, digest {teacher.get('digest')})"
        if "carried_bytes" in told:
            lines.append(f"{by}, which the file carries in {format_bytes(told['carried_bytes'])}")
            return lines
        lines.append(
            f"{by}; made anew they need it, {format_bytes(teacher['bytes'])}, and "
            f"{format_bytes(told['all_bytes_with_teacher'])} in all"
        )
    return lines


def _beside(path: Path, artefact: Artefact) -> list[str]:
    """Return the labels of epochs beside an artefact, in words."""
    from attar.budget import format_bytes
    from attar.face.files import labels_beside

    told = labels_beside(path, artefact).get("labels_beside")
    if not told:
        return []
    some = "" if told["share"] == 1 else f"{told['share']:.3g} of the batches "
    return [
        f"{some}of {told['epochs']} epochs by {told['teacher']['network']} in {told['file']}, "
        f"{told['storage']}, {format_bytes(told['file_bytes'])}"
    ]


def _held(header: Header) -> str:
    from attar.artefact.header import BALANCED, SELECTED_BY

    kind = " balanced" if header.provenance.get(SELECTED_BY) == BALANCED else ""
    return (
        "" if header.validation is None else f", {header.validation:.1f} %{kind} on held-out images"
    )


def print_header(artefact: Artefact, path: Path) -> None:
    """Print an artefact's header for people."""
    from attar.artefact.header import READ_FROM
    from attar.face.files import knows_clipping, labels_of, orthogonality

    header, totals = artefact.header, artefact.totals
    table = Grid(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    shape = "×".join(map(str, header.shape))
    unused = "" if totals.unused is None else f"; {totals.unused} B of {totals.limit} B unused"
    whole = header.provenance.get(READ_FROM)
    unchecked = "" if artefact.checked else "; unchecked: of an older Attar, without checksums"
    part = f"; read out of {whole}" if isinstance(whole, str) else ""
    lost = artefact.clipped if knows_clipping(artefact) else None
    origin, made = _origin(header)
    for name, value in (
        *origin,
        *_parts(header.parts),
        ("classes", f"{len(header.class_names)}: {', '.join(header.class_names[:10])}"),
        ("images", f"{header.count} per class of {shape}{part}"),
        *([] if lost is None else [("pixels", f"{lost}; pictures clip them")]),
        ("stored", f"{header.stored_as}, {header.storage}, {totals.values} values"),
        *_under("coding", header.notes),
        ("bytes", f"{totals.paper} (paper), {totals.all} (all){unused}"),
        *_under("labels", [*_labels(labels_of(artefact)), *_beside(path, artefact)]),
        *((name, _values(one)) for name, one in artefact.learned.items()),
        ("file", f"{path.stat().st_size} B with its header{unchecked}"),
        *made,
        *(
            (title, ", ".join(f"{name} {size:.2g}" for name, size in sizes.items()))
            for title, sizes in orthogonality(artefact).items()
        ),
    ):
        table.add_row(name, value)
    out.print(table, highlight=False)
