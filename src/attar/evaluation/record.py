"""What `attar evaluate` measured, kept as one JSON file beside the artefact.

The file names the artefact by the digest of its bytes, so that accuracies of an artefact that
was replaced since are recognised.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from attar.artefact.artefact import evaluation_path
from attar.artefact.loading import part_of
from attar.errors import ArtefactError, BadRequest
from attar.evaluation.ranking import SCORED
from attar.evaluation.remarks import remarks
from attar.evaluation.rows import Row, with_ceilings
from attar.files import write_text
from attar.locking import locked
from attar.stored import open_stored
from attar.training.by_class import fits

FORMAT = "attar.evaluation"
# 2 knows coresets, hard labels, ceilings and scores, 3 sets read out of larger ones; what was
# written before is read as it is, and 3 is written only where there is something to say
FORMAT_VERSION = 3
_WITHOUT_IPC = 2


@dataclass(frozen=True)
class Evaluation:
    """What was measured under one card on one set of real images.

    Args:
        card: name of the card asked for; baselines may have been trained for fewer epochs.
        data: the source of the real images.
        rows: the artefact's own first, then what it was compared with.
    """

    card: str
    data: str
    rows: tuple[Row, ...]

    @property
    def own(self) -> Row | None:
        """The row of the artefact itself."""
        return next((row for row in self.rows if row.kind == "condensed"), None)

    @property
    def hard(self) -> Row | None:
        """The row of the artefact with hard labels in place of learnt ones."""
        return next((row for row in self.rows if row.labels == "hard"), None)

    def as_dict(self) -> dict[str, Any]:
        """Return the evaluation as a plain dictionary."""
        rows = [
            {**row.as_dict(), "remarks": said}
            for row, said in zip(self.rows, remarks(self.rows), strict=True)
        ]
        return {"card": self.card, "data": self.data, "rows": rows}


@dataclass(frozen=True)
class Record:
    """Everything measured of one artefact.

    Args:
        sha256: digest of what was evaluated (`digest`).
        evaluations: one for each card and source of real images.
        format: what the file is.
        version: of its format.
        ipc: memory, in images per class, of the smaller set that was read out of the file and
            evaluated; None where it was the whole.
    """

    sha256: str
    evaluations: tuple[Evaluation, ...]
    format: Literal["attar.evaluation"] = FORMAT
    version: Literal[1, 2, 3] = FORMAT_VERSION
    ipc: int | None = None


_READER = TypeAdapter(Record)


def digest(artefact: Path, ipc: int | None = None) -> str:
    """Return the SHA-256 of a file; of a smaller set, that of the bytes which it is read from.

    Args:
        artefact: its path.
        ipc: memory of the smaller set read out of it; None for the whole.

    Raises:
        ArtefactError: the file cannot be read.
        BadRequest: it has no part of that size.
    """
    if ipc is not None:
        with open_stored(artefact, hashing=True) as stored:
            _, part = part_of(stored, ipc)
            if part is not None:
                part.read(stored)
                return stored.sha256
    try:
        with Path(artefact).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArtefactError(f"{artefact}: {(error.strerror or str(error)).lower()}") from error


def keep(artefact: Path, sha256: str, evaluation: Evaluation, ipc: int | None = None) -> Path:
    """Write an evaluation beside its artefact, together with earlier ones of the same set.

    Args:
        artefact: its path.
        sha256: digest of what was evaluated (`digest`).
        evaluation: what was measured; it replaces what was measured before under the same card
            with the same networks.
        ipc: memory of the smaller set read out of the file; it has a record of its own.

    Returns:
        The file written.

    Raises:
        BadRequest: a file that is no such record is in the way; it is left as it is.
        RunFailed: the file cannot be written.
    """
    path = evaluation_path(artefact, ipc)
    # evaluations that end at the same time would each write without the other's rows
    with locked(artefact):
        known: tuple[Evaluation, ...] = ()
        if path.exists():
            before = read_record(path)
            known = before.evaluations if before.sha256 == sha256 else ()
        merged = [one.as_dict() for one in merge([*known, evaluation])]
        document = {
            "format": FORMAT,
            "version": _WITHOUT_IPC if ipc is None else FORMAT_VERSION,
            "sha256": sha256,
            **({} if ipc is None else {"ipc": ipc}),
            "evaluations": merged,
        }
        write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return path


def read_record(path: Path) -> Record:
    """Read a kept file, or what ``attar evaluate --json`` printed.

    Raises:
        BadRequest: no such file, or something else.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadRequest(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except (ValueError, RecursionError):
        raise _foreign(path, "it is not JSON") from None
    if isinstance(found, dict) and "rows" in found:
        own = {name: found.get(name) for name in ("sha256", "ipc")}
        found = {**own, "evaluations": [found]}
    version = found.get("version") if isinstance(found, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise BadRequest(
            f"{path} has format version {version}; this Attar reads up to {FORMAT_VERSION}. "
            "Install a newer one."
        )
    try:
        record = _READER.validate_python(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise _foreign(path, f"{where}: {first['msg']}") from None
    for evaluation in record.evaluations:
        for row in evaluation.rows:
            _check(path, row)
    return record


def _check(path: Path, row: Row) -> None:
    """Refuse a row whose figures cannot be accuracies."""
    columns = [result.accuracies for result in row.results]
    for scores in row.scores:
        own = [getattr(scores, name) for name in SCORED]
        if len({len(column) for column in own}) > 1 or not 0 <= scores.weight <= 1:
            raise _foreign(path, f"the scores of {row.name!r} do not fit together")
        columns += own
    if not all(column and all(0 <= one <= 100 for one in column) for column in columns):
        raise _foreign(path, f"accuracies of {row.name!r} are not percentages")
    for result in row.results:
        # files of before have no figures by class
        if result.right and not fits(result.right, result.tested, result.accuracies):
            raise _foreign(path, f"figures by class of {row.name!r} do not fit its accuracies")


def _foreign(path: Path, why: str) -> BadRequest:
    return BadRequest(
        f"{path} is not what 'attar evaluate' keeps or prints with --json ({why}); move it away, "
        "or evaluate again"
    )


def merge(evaluations: Iterable[Evaluation]) -> tuple[Evaluation, ...]:
    """Return one evaluation for each card and source; later results replace earlier ones."""
    found: dict[tuple[str, str], Evaluation] = {}
    for one in evaluations:
        key = (one.card, one.data)
        rows = _merge_rows(found[key].rows, one.rows) if key in found else one.rows
        found[key] = replace(one, rows=rows)
    return tuple(found.values())


def _alike(one: Row, other: Row) -> bool:
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("images_per_class", "paper_bytes", "bytes", "note")
    )


def _merge_rows(earlier: Iterable[Row], later: Iterable[Row]) -> tuple[Row, ...]:
    found = {(row.kind, row.name): row for row in earlier}
    for row in later:
        key = (row.kind, row.name)
        before = found.get(key)
        # a baseline of other real images is another row, which takes the place of the earlier
        kept = before if before and _alike(before, row) else None
        results = {r.network: r for r in kept.results} if kept else {}
        results |= {result.network: result for result in row.results}
        scores = {s.network: s for s in kept.scores} if kept else {}
        for result in row.results:
            one = scores.get(result.network)
            # scores of accuracies that were replaced hold no longer
            if one is not None and one.synthetic != result.accuracies:
                del scores[result.network]
        scores |= {one.network: one for one in row.scores}
        found[key] = replace(row, results=tuple(results.values()), scores=tuple(scores.values()))
    return with_ceilings(found.values())
