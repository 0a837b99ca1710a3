"""Iterates of a run, kept beside its artefact so that its course can be seen and measured.

One safetensors file holds them as they are stored, not decoded: the tensors of step 100 are
``100/images.left`` and so on. Its header holds the one that they share.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from attar.artefact.artefact import (
    LEARNT,
    STANDARD,
    WHITENING,
    Artefact,
    learnt_tensors,
    preprocessing_tensors,
)
from attar.artefact.header import LENGTH, Header
from attar.artefact.loading import from_tensors
from attar.errors import ArtefactError, BadRequest
from attar.storage import storage_of
from attar.stored import advising, is_of, open_stored
from attar.tensors import all_finite, save_tensors

FORMAT = "attar.snapshots"
FORMAT_VERSION = 2
_ADVICE = "move it away, or start the run again with --overwrite"
_STEP = re.compile("0|[1-9][0-9]{0,17}")

Wanted = int | tuple[int, ...]


def snapshots_path(output: Path) -> Path:
    """Return where a run keeps its snapshots."""
    return Path(output).with_suffix(".snapshots.safetensors")


class Snapshots:
    """Keeps iterates of one run when they come due. The file is whole at every moment.

    Args:
        path: the file.
        wanted: how many, evenly spread from the start of the run to its end, both included (1:
            the end alone); or the steps; None for none.
    """

    def __init__(self, path: Path, wanted: Wanted | None) -> None:
        self._path = path
        self._wanted = wanted
        self._taken = -1

    @property
    def count(self) -> int:
        """How many iterates there will be at most."""
        if isinstance(self._wanted, tuple):
            return len(self._wanted)
        return self._wanted or 0

    def check(self, iterations: int | None) -> None:
        """Refuse steps that a run of ``iterations`` (None: as many as its time allows) has not."""
        steps = self._wanted if isinstance(self._wanted, tuple) else ()
        beyond = [step for step in steps if iterations is not None and step > iterations]
        if beyond:
            raise BadRequest(
                f"--snapshots: step {beyond[0]} is not in a run of {iterations} iterations; "
                f"name steps from 0 to {iterations}, or raise --iterations"
            )

    def begin(self, artefact: Artefact, share: float) -> None:
        """Make ready for a run that goes on from this iterate.

        What an earlier run left is removed. A resumed one keeps its own up to here and does the
        later ones again.

        Args:
            artefact: the iterate.
            share: of the run that is done, from 0 to 1.
        """
        step = artefact.header.step
        if step > 0:
            self._taken = self._place(share)
        if not self._path.exists():
            return
        kept = self._kept(artefact.header) if step > 0 else {}
        if not any(one <= step for one in kept):
            self._path.unlink()
        elif max(kept) > step:
            self._write(artefact, {one: kept[one] for one in kept if one <= step})

    def due(self, step: int, share: float) -> bool:
        """Whether the iterate of this step is to be kept, at this share of the run."""
        if self._wanted is None:
            return False
        if isinstance(self._wanted, tuple):
            return step in self._wanted
        return self._place(share) > self._taken

    def add(self, artefact: Artefact, share: float) -> None:
        """Keep an iterate; one whose values do not fit into the storage type is left out.

        Raises:
            RunFailed: the file could not be written.
        """
        self._taken = self._place(share)
        kept = self._kept(artefact.header) if self._path.exists() else {}
        own = {**artefact.coded}
        own |= learnt_tensors(artefact.learned)
        if all_finite(own):
            self._write(artefact, {**kept, artefact.header.step: own})

    def _place(self, share: float) -> int:
        """Return the number, from 0, of the last evenly spread moment that has passed."""
        if not isinstance(self._wanted, int):
            return -1
        if self._wanted == 1:
            return 0 if share >= 1 else -1
        return math.floor(share * (self._wanted - 1) + 1e-9)

    def _kept(self, header: Header) -> dict[int, dict[str, Tensor]]:
        """Return what the file holds of this run, by step."""
        found, tensors, _ = _read(self._path)
        return _by_step(self._path, tensors)[0] if of_one_run(found, header) else {}

    def _write(self, artefact: Artefact, steps: Mapping[int, Mapping[str, Tensor]]) -> None:
        tensors = {
            f"{step}/{name}": tensor for step, own in steps.items() for name, tensor in own.items()
        }
        tensors |= preprocessing_tensors(artefact.preprocessing)
        header = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "card": artefact.header.model_dump(mode="json"),
        }
        save_tensors(self._path, tensors, header)


def load_snapshots(path: Path) -> list[Artefact]:
    """Return the iterates in a file of snapshots, in order of their steps.

    Raises:
        ArtefactError: the file is missing, truncated, damaged, foreign or of a newer version.

    Example:
        >>> [one.header.step for one in load_snapshots(path)]  # doctest: +SKIP
        [0, 500, 1000]
    """
    header, tensors, checked = _read(path)
    steps, whitening = _by_step(path, tensors)
    return [
        from_tensors(
            path,
            header.model_copy(
                update={
                    "step": step,
                    "iterate": "last",
                    "validation": None,
                    "learned": {
                        name.removeprefix(LEARNT): list(one.shape)
                        for name, one in steps[step].items()
                        if name.startswith(LEARNT)
                    },
                }
            ),
            {**steps[step], **whitening},
            checked=checked,
        )
        for step in sorted(steps)
    ]


def snapshots_of(output: Path, artefact: Artefact) -> list[Artefact]:
    """Return the snapshots that lie beside an artefact.

    Args:
        output: path of the artefact.
        artefact: the same, read.

    Raises:
        BadRequest: there are none, or they are of another run.
    """
    path = snapshots_path(output)
    if not path.exists():
        raise BadRequest(
            f"no snapshots of {output} ({path.name} is not there); 'attar condense … --snapshots "
            "10' keeps some"
        )
    found = load_snapshots(path)
    if not of_one_run(found[0].header, artefact.header):
        raise BadRequest(
            f"{path} holds the snapshots of another run than that of {output.name}; move it away, "
            "or condense again with --snapshots and --overwrite"
        )
    return found


def of_one_run(one: Header, other: Header) -> bool:
    """Whether two headers are of iterates of one run, however long it went on."""
    return _identity(one) == _identity(other)


def _identity(header: Header) -> Any:
    settings = {name: v for name, v in header.settings.items() if name not in LENGTH}
    # the quality of pictures is lowered for an iterate that takes more; settings say what was asked
    storage = storage_of(header.storage).name
    layout = header.layout.classes, header.layout.sizes(), list(header.layout.shape)
    # as it would be read again, so that a header in memory equals its own file
    return json.loads(json.dumps([header.method, header.seed, storage, layout, settings]))


def _read(path: Path) -> tuple[Header, dict[str, Tensor], bool]:
    """Return the header and the tensors of a file, and whether these were checked."""
    with advising(_ADVICE), open_stored(path) as stored:
        if not is_of(stored.header, FORMAT, FORMAT_VERSION):
            raise ArtefactError(f"{path} holds no snapshots that this version reads")
        try:
            header = Header.model_validate(stored.header.get("card"))
        except ValidationError as error:
            raise ArtefactError(f"{path}: its header: {error.errors()[0]['msg']}") from error
        return header, stored.all(), stored.checked


def _by_step(
    path: Path, tensors: Mapping[str, Tensor]
) -> tuple[dict[int, dict[str, Tensor]], dict[str, Tensor]]:
    """Return the tensors of each step, and those that all share."""
    steps: dict[int, dict[str, Tensor]] = {}
    shared: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        step, slash, own = name.partition("/")
        if slash and _STEP.fullmatch(step):
            steps.setdefault(int(step), {})[own] = tensor
        elif name.startswith((STANDARD, WHITENING)):
            shared[name] = tensor
        else:
            raise ArtefactError(f"{path}: tensor {name!r} belongs to no step")
    if not steps:
        raise ArtefactError(f"{path} holds no snapshots")
    return steps, shared
