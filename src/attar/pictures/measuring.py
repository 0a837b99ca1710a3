"""Accuracy over the iterations of runs: from their logs, and of their snapshots."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attar.artefact.artefact import Artefact, evaluation_path
from attar.artefact.snapshots import snapshots_path
from attar.data import Splits
from attar.errors import ArtefactError, BadRequest
from attar.evaluation.comparison import evaluate
from attar.evaluation.record import Evaluation, digest, keep, read_record
from attar.pictures.curves import Curve
from attar.pictures.subjects import Subject
from attar.report.course import series
from attar.report.protocols import Protocol
from attar.text import counted
from attar.training import card as find_card

Tell = Callable[[str], None]
_STEP = "iteration "


def validations(subjects: Sequence[Subject]) -> list[Curve]:
    """Return the accuracies on held-out training images that the logs speak of."""
    found = []
    for subject in subjects:
        points = series(subject.entry.log, "validation")
        if points:
            found.append(Curve(subject.name, {step: [value] for step, value in points}))
    return found


def measured(subjects: Sequence[Subject]) -> dict[Protocol, list[Curve]]:
    """Return what was measured of snapshots on test images, by the way of measuring."""
    found: dict[Protocol, list[Curve]] = {}
    for subject in subjects:
        if subject.entry.ipc is not None:
            continue
        classes = tuple(subject.artefact.header.class_names)
        for evaluation in _kept(subject.path):
            curves: dict[str, dict[float, Sequence[float]]] = {}
            for step, row in _by_step(evaluation).items():
                for result in row.results:
                    curves.setdefault(result.network, {})[step] = result.accuracies
            for network, points in curves.items():
                protocol = Protocol(network, evaluation.card, evaluation.data, classes)
                found.setdefault(protocol, []).append(Curve(subject.name, points))
    return found


def measure(subject: Subject, splits: Splits, *, repeats: int, tell: Tell, **options: Any) -> None:
    """Evaluate every snapshot of a run, and keep the results beside them.

    What was measured before under the same card, with as many networks, is not measured again;
    what an interruption leaves is kept.

    Args:
        subject: whose run.
        splits: the real images.
        repeats: networks of each kind.
        tell: told what is measured.
        **options: ``networks``, ``card``, ``epochs``, ``seed``, ``device``, ``precision`` and
            ``compile``, as `attar.evaluate` takes them.
    """
    path = snapshots_path(subject.path)
    sha256 = digest(path)
    for number, snapshot in enumerate(subject.snapshots, start=1):
        step = snapshot.header.step
        what = f"{subject.name}: {_STEP}{step:,} ({number} of {len(subject.snapshots)})"
        if _is_done(path, step, repeats, splits.source, options):
            continue
        tell(f"{what}: training {counted(repeats, 'network')}")
        row = evaluate(snapshot, splits, repeats=repeats, **options)[0]
        row = dataclasses.replace(row, name=f"{_STEP}{step}")
        keep(path, sha256, Evaluation(row.results[0].card, splits.source, (row,)))
        tell(f"{what}: {', '.join(f'{r.network} {r.mean:.2f} %' for r in row.results)}")


def snapshot_count(subject: Subject) -> int:
    """Return how many snapshots there are; 0 for none that could be read."""
    try:
        return len(subject.snapshots)
    except BadRequest:
        return 0


def _is_done(path: Path, step: int, repeats: int, source: str, options: Mapping[str, Any]) -> bool:
    """Whether a snapshot was measured in the way asked for."""
    if not options.get("networks") or not options.get("card"):
        return False
    card = find_card(options["card"], options.get("epochs")).name
    for evaluation in _kept_beside(path):
        row = _by_step(evaluation).get(step)
        if evaluation.card == card and evaluation.data == source and row is not None:
            counts = {result.network: len(result.accuracies) for result in row.results}
            return all(counts.get(name, 0) >= repeats for name in options["networks"])
    return False


def defaults(artefact: Artefact, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of measuring with network and card of the artefact filled in."""
    settings = artefact.header.settings
    name = options.get("card") or artefact.header.card
    # some cards have a network of their own
    own = find_card(name).network_for(artefact.header.shape[1:])
    networks = options.get("networks") or [own or settings.get("network", "convnet3")]
    return {**options, "networks": networks, "card": name}


def _kept(path: Path) -> Sequence[Evaluation]:
    """Return what was measured of the snapshots beside an artefact."""
    beside = snapshots_path(path)
    return _kept_beside(beside) if beside.exists() else ()


def _kept_beside(snapshots: Path) -> Sequence[Evaluation]:
    record = evaluation_path(snapshots)
    if not record.exists():
        return ()
    try:
        found = read_record(record)
        return found.evaluations if found.sha256 == digest(snapshots) else ()
    except (BadRequest, ArtefactError):
        return ()


def _by_step(evaluation: Evaluation) -> dict[int, Any]:
    return {
        int(row.name.removeprefix(_STEP)): row
        for row in evaluation.rows
        if row.name.removeprefix(_STEP).isdecimal()
    }
