"""Expert trajectories that the sets of a suite follow, trained once for all sets alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from attar.benching.folder import Folder
from attar.benching.making import Making, slug, source_identity
from attar.benching.notes import plain
from attar.experts.making import train_experts
from attar.experts.request import ExpertsRequest
from attar.experts.telling import ExpertCallback
from attar.text import counted, text_digest
from attar.wording import KEYWORDS, as_keywords

if TYPE_CHECKING:
    from attar.experts.plan import Plan


def trained(
    making: Making,
    folder: Folder,
    data_dir: Path | None,
    name: str,
    say: Callable[[str], None],
) -> Path:
    """Return the folder of the experts that a set follows, after training what is missing.

    Sets of one dataset that match in the same network and see images whitened in the same way
    follow the same experts. Processes that need the same ones at once share the work.

    Args:
        making: a set that follows experts.
        folder: of the suite.
        data_dir: where named datasets lie; None for the default.
        name: what the data call themselves, which decides on the whitening that a method fixes.
        say: told in a line what is trained.

    Raises:
        RunFailed: the training diverged, or was interrupted.
    """
    assert making.experts is not None
    request = making.request()
    options = dict(making.experts)
    options["zca"] = request.zca or request.chosen.zca(name, request.ipc or 1)
    options["network"] = request.network
    for name in ("device", "precision", "compile"):
        options.setdefault(name, getattr(request, KEYWORDS.get(name, name)))
    output = folder.root / "experts" / slug(making.dataset) / _digest(making, options)
    reading = {"data_dir": data_dir, **making.reading}
    train_experts(
        making.source, output=output, callback=_Lines(say), **reading, **as_keywords(options)
    )
    return output


@dataclass(frozen=True)
class Promised:
    """Trajectories that are still to be trained, for an objective to refuse beforehand.

    Args:
        count: how many experts there will be.
        epochs: how many each will be trained for.
    """

    count: int
    epochs: int

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Promised:
        """Return what training with options of `attar experts` leads to."""
        request = ExpertsRequest(**as_keywords(options))
        return cls(request.count, request.epochs)

    def segment(self, expert: int, start: int, length: int) -> Tensor:
        """Refuse to be followed."""
        raise RuntimeError(f"expert {expert} is not trained yet")


class _Lines(ExpertCallback):
    """Tells what is trained, a line for every expert."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def started(self, plan: Plan, missing: Sequence[int], workers: int) -> None:
        """Say what makes these experts."""
        self._say(f"experts: {plan.work.header.provenance['command']}")
        self._say(f"{len(missing)} of {plan.work.count} are missing")

    def made(self, expert: int, accuracy: float) -> None:
        """Say how good an expert is."""
        self._say(f"expert {expert}: {accuracy:.1f} % on training images")

    def waiting(self, experts: Sequence[int]) -> None:
        """Say that others are at work."""
        self._say(f"waiting for {counted(len(experts), 'expert')} that other processes train")


def _digest(making: Making, options: dict[str, object]) -> str:
    depends = [source_identity(making.source), dict(making.reading), options]
    return text_digest(json.dumps(plain(depends), sort_keys=True), 6)
