"""What a comparison is made of: artefacts with their logs and what was measured of them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from attar.artefact.artefact import Artefact, evaluation_path
from attar.artefact.loading import ipc_of_part, load
from attar.condensing.log import read_log
from attar.condensing.paths import Paths
from attar.errors import BadRequest
from attar.evaluation.record import Evaluation, Record, digest, merge, read_record
from attar.report.course import Log
from attar.report.slider import start_of


@dataclass(frozen=True)
class Entry:
    """One artefact of a comparison.

    Args:
        name: what the page calls it.
        artefact: the set.
        evaluations: what was measured of it.
        log: of its run, as `attar.condensing.log.read_log` returns it.
        remark: why nothing was measured of it, where that is so.
        command: evaluates it.
        ipc: memory of the smaller set read out of a file; None for the whole. Its log and
            snapshots are those of the whole, and left out.
        start: the first iterate that was kept of its run.
    """

    name: str
    artefact: Artefact
    evaluations: Sequence[Evaluation] = ()
    log: Log = ()
    remark: str = ""
    command: str | None = None
    ipc: int | None = None
    start: Artefact | None = None


def read_entries(
    artefacts: Sequence[Path], evaluations: Sequence[Path] = (), ipc: int | None = None
) -> list[Entry]:
    """Read artefacts, their logs and the evaluations beside them.

    Args:
        artefacts: paths, each once.
        evaluations: further files of evaluations, kept elsewhere; each finds its artefact by the
            digest in it.
        ipc: memory in images per class at which every artefact is read (`attar.load`); what was
            measured of the whole is left out then.

    Raises:
        BadRequest: a file is missing, given twice, or not what it should be; or an evaluation
            is of none of these artefacts.
    """
    _refuse_twice(artefacts)
    sizes = [ipc_of_part(path, ipc) for path in artefacts]
    sets = [
        (path, load(path, size), digest(path, size), size)
        for path, size in zip(artefacts, sizes, strict=True)
    ]
    records = [(path, read_record(path)) for path in evaluations]
    for path, record in records:
        if record.sha256 not in [own for _, _, own, _ in sets]:
            raise BadRequest(
                f"--evaluation {path} is of another artefact than those given, or of one that was "
                "replaced since; evaluate again, or give the artefact that it is of"
                + _read_at(record.ipc, ipc)
            )
    entries = []
    for name, (path, artefact, own, size) in zip(names(artefacts), sets, strict=True):
        beside, remark = _beside(path, own, size)
        at = [] if size is None else ["--ipc", str(size)]
        found = merge([*beside, *_of(own, [record for _, record in records])])
        entries.append(
            Entry(
                " ".join([name, *at]),
                artefact,
                found,
                read_log(Paths(path).log) if size is None else (),
                "" if found else remark,
                shlex.join(["attar", "evaluate", str(path), *at]),
                size,
                start_of(path, artefact) if len(sets) == 1 and size is None else None,
            )
        )
    return entries


def _read_at(measured: int | None, asked: int | None) -> str:
    """Say at which memory a set was measured, where it is another than asked for."""
    if measured == asked:
        return ""
    return " (it is of the whole)" if measured is None else f" (it was read at --ipc {measured})"


def names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest ends of paths that tell them apart, without the suffix."""
    parts = [path.with_suffix("").parts for path in paths]
    if len(set(parts)) < len(parts):  # they differ in nothing but the suffix
        parts = [path.parts for path in paths]
    deepest = max((len(own) for own in parts), default=1)
    for depth in range(1, deepest + 1):
        ends = ["/".join(own[-depth:]) for own in parts]
        if len(set(ends)) == len(ends):
            return ends
    return [str(path) for path in paths]


def _beside(path: Path, own: str, ipc: int | None) -> tuple[Sequence[Evaluation], str]:
    """Return what is kept beside an artefact, or why it cannot be used."""
    kept = evaluation_path(path, ipc)
    if not kept.exists():
        return (), "not evaluated"
    try:
        record = read_record(kept)
    except BadRequest as error:
        return (), f"not evaluated: {error}"
    if record.sha256 != own:
        return (), (
            f"not evaluated since the file was replaced: the accuracies in {kept.name} are of "
            "an earlier artefact and left out"
        )
    return record.evaluations, ""


def _of(own: str, records: Sequence[Record]) -> list[Evaluation]:
    return [one for record in records if record.sha256 == own for one in record.evaluations]


def _refuse_twice(paths: Sequence[Path]) -> None:
    if not paths:
        raise BadRequest("name the artefacts to report on, such as a.safetensors b.safetensors")
    seen: dict[Path, Path] = {}
    for path in paths:
        place = path.resolve()
        if place in seen:
            also = "" if seen[place] == path else f" (also as {seen[place]})"
            raise BadRequest(f"{path} is given twice{also}; name each artefact once")
        seen[place] = path
