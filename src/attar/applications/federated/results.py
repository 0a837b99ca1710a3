"""What came of a run: accuracies round by round, bytes, who was left out; and their file."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attar.applications.folders import keep, kept
from attar.evaluation.intervals import half_width


@dataclass(frozen=True)
class Refusal:
    """A client that a round went on without.

    Args:
        client: its number, from 1.
        why: in words that name neither a path nor an address.
    """

    client: int
    why: str


@dataclass(frozen=True)
class Turn:
    """Where averaged weights were after one exchange of them.

    Args:
        carried: bytes that clients have sent so far.
        mean: accuracy in percent, mean over networks.
    """

    carried: int
    mean: float


@dataclass(frozen=True)
class Round:
    """What is known once so many clients have sent.

    Args:
        contender: a method, or a baseline.
        participants: clients that were asked.
        classes: that the networks were trained and tested on, those that arrived; empty where
            nothing did.
        images_per_class: full images' memory of each class, client by client; empty for weights.
        paper_bytes: of what arrived, as the papers count.
        bytes: of everything in it.
        carried: of the messages, file headers and all.
        counted: the same as a framework counts them; None without a framework.
        sets: the artefacts that arrived, by their paths in the folder of the run.
        refused: clients that it went on without.
        accuracies: of each network on the test images of these classes, in percent; empty where
            nothing arrived.
        network: name of the network.
        card: how it was trained.
        seconds: of asking and of training.
        turns: of averaged weights, one for every exchange.
    """

    contender: str
    participants: int
    classes: tuple[str, ...]
    images_per_class: tuple[int, ...]
    paper_bytes: int
    bytes: int
    carried: int
    counted: int | None
    sets: tuple[str, ...]
    refused: tuple[Refusal, ...]
    accuracies: tuple[float, ...]
    network: str
    card: str
    seconds: Mapping[str, float]
    turns: tuple[Turn, ...] = ()

    @property
    def mean(self) -> float | None:
        """Mean accuracy over networks in percent; None where nothing arrived."""
        return statistics.fmean(self.accuracies) if self.accuracies else None

    @property
    def std(self) -> float:
        """Population standard deviation over networks."""
        return statistics.pstdev(self.accuracies) if self.accuracies else 0.0

    @property
    def interval(self) -> float | None:
        """Half width of the 95 % confidence interval of the mean; None below three networks."""
        return half_width(self.std, len(self.accuracies)) if self.accuracies else None

    def as_dict(self) -> dict[str, Any]:
        """Return it as a plain dictionary with what follows from it."""
        own = dataclasses.asdict(self)
        return own | {"mean": self.mean, "std": self.std, "interval": self.interval}

    def save(self, path: Path) -> None:
        """Write it, atomically."""
        keep(path, dataclasses.asdict(self))

    @classmethod
    def load(cls, path: Path) -> Round:
        """Read it again.

        Raises:
            BadRequest: the file is damaged.
        """
        return kept(path, cls.of, "this round is held again")

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Round:
        """Return what a plain dictionary tells."""
        known = {item.name for item in dataclasses.fields(cls)}
        own: dict[str, Any] = {
            n: tuple(v) if isinstance(v, list) else v for n, v in told.items() if n in known
        }
        own["refused"] = tuple(Refusal(**one) for one in told["refused"])
        own["turns"] = tuple(Turn(**one) for one in told["turns"])
        return cls(**own)


@dataclass(frozen=True)
class FederatedResult:
    """A run, as far as it is.

    Args:
        title: method, data and bandwidth.
        command: that makes it.
        clients: how many there are.
        limit: bytes that the sets of a round may take together, as the papers count.
        rounds: what was measured, contender by contender.
    """

    title: str
    command: str
    clients: int
    limit: int
    rounds: tuple[Round, ...]

    @property
    def contenders(self) -> tuple[str, ...]:
        """Names, the method first."""
        return tuple(dict.fromkeys(one.contender for one in self.rounds))

    def of(self, contender: str) -> tuple[Round, ...]:
        """Return the rounds of one."""
        return tuple(one for one in self.rounds if one.contender == contender)

    def as_dict(self) -> dict[str, Any]:
        """Return it as a plain dictionary with everything that follows from it."""
        return dataclasses.asdict(self) | {"rounds": [one.as_dict() for one in self.rounds]}

    def save(self, path: Path) -> None:
        """Write it, atomically."""
        keep(path, self.as_dict())

    @classmethod
    def load(cls, path: Path) -> FederatedResult:
        """Read ``results.json`` again."""
        told = json.loads(Path(path).read_text(encoding="utf-8"))
        own = {item.name: told[item.name] for item in dataclasses.fields(cls)}
        return cls(**{**own, "rounds": tuple(map(Round.of, told["rounds"]))})
