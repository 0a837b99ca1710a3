"""Sets that stand for some of the classes: condensed, made smaller, and trained on together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from attar import compute as computing
from attar.applications.continual.memory import Memory
from attar.applications.continual.replay import Replay
from attar.applications.continual.request import Condensing
from attar.artefact.artefact import Artefact
from attar.artefact.loading import load
from attar.budget import Budget
from attar.condensing.condense import complete, writing
from attar.condensing.planning import make_plan
from attar.condensing.request import Request
from attar.condensing.telling import Callback
from attar.data import LabelledImages, Splits
from attar.evaluation.given import asked_networks
from attar.evaluation.measuring import Measurer
from attar.evaluation.results import Result, training_effort
from attar.networks import make_for
from attar.rng import Key
from attar.slimming.request import SlimRequest
from attar.slimming.slimming import carry_out as slim


class Shrinking(Protocol):
    """A request that says how sets shrink."""

    @property
    def slimming(self) -> str | None:
        """How, where anything was said."""
        ...

    @property
    def steps(self) -> int:
        """Sizes that a set may have."""
        ...

    @property
    def groups(self) -> str:
        """Option that says into how many groups the classes are divided."""
        ...

    @property
    def held(self) -> Memory:
        """What all sets together may take."""
        ...

    def slim(
        self, ipc: int, usual: str, seed: int, network: Any = None, **options: Any
    ) -> SlimRequest:
        """Return the request of one slimming."""
        ...


def condensed(
    own: Request, splits: Splits, reading: Mapping[str, Any], callback: Callback | None
) -> Path:
    """Condense what is there into the output of a request, or find it done; return that file."""
    assert own.output is not None
    with writing(own):
        plan = make_plan(own, splits, reading)
        complete(plan, callback or Callback())
    return own.output


def shrunk(
    source: Path,
    output: Path,
    ipc: int,
    how: str,
    seed: int,
    request: Shrinking,
    condensing: Condensing,
    callback: Callable[[], Callback | None],
) -> Path:
    """Return the file of a set at ``ipc`` images per class: its own where it is no larger.

    Args:
        source: an artefact.
        output: the smaller one, gone on with where it is begun.
        ipc: full float32 images of each class.
        how: it is slimmed where the request does not say.
        seed: of the slimming.
        request: which says how.
        condensing: how sets are made, for device, card and network.
        callback: gives what is told how it goes.
    """
    if not larger(load(source), ipc):
        return source
    own = request.slim(
        ipc,
        how,
        seed,
        condensing.network,
        output=output,
        resume=True,
        device=condensing.device,
        precision=condensing.precision,
        torch_compile=condensing.torch_compile,
        chunk=condensing.chunk,
        card=condensing.card,
        checkpoint_seconds=condensing.checkpoint_seconds,
    )
    slim(source, own, lambda size: callback() or Callback())
    return output


def larger(artefact: Artefact, ipc: int) -> bool:
    """Tell whether an artefact takes more than so many full images of each class."""
    header = artefact.header
    full = Budget(ipc=ipc).limit(len(header.class_names), header.shape)
    return full is not None and artefact.totals.paper > full


class Training(Protocol):
    """A request that says how networks are trained on sets."""

    @property
    def repeats(self) -> int:
        """How many."""
        ...

    @property
    def epochs(self) -> int | None:
        """Of each, in place of the card's."""
        ...

    @property
    def updates(self) -> int | None:
        """Likewise."""
        ...


def measured(
    replay: Replay,
    test: LabelledImages,
    dataset: str,
    ipc: int | None,
    card: str | None,
    request: Training,
    condensing: Condensing,
    key: Key,
    trained: Callable[[int, float | None], None],
) -> Result:
    """Train new networks on sets together, and test them on all their classes.

    Args:
        replay: the sets.
        test: real images of all classes.
        dataset: the name of the data.
        ipc: full images of each class, for the record.
        card: how networks are trained; None for as the sets say.
        request: for how long, and how many.
        condensing: for device and network.
        key: of the networks.
        trained: told the number of a network, and its accuracy once it is known.
    """
    chosen = replay.card(card, request.epochs, request.updates, dataset)
    test = test.of_classes(replay.class_names)
    # not that of a slimmed part, which may have been matched in another
    named = asked_networks(
        replay.parts[-1], condensing.network or chosen.network_for(test.shape[1:])
    )
    given = replay.training_set(chosen, ipc)
    network = make_for(named[0], test.shape, test.classes)
    compute = computing.choose(
        condensing.device,
        condensing.precision,
        condensing.torch_compile,
        pixels=training_effort(len(given.labels), chosen, request.repeats, [network]),
    )
    measurer = Measurer(
        test,
        [network],
        request.repeats,
        dataset,
        compute,
        key,
        progress=lambda row, network, repeat, accuracy: trained(repeat, accuracy),
    )
    return measurer.measure(given)[0]


def by_group(result: Result, sizes: Sequence[int]) -> list[float]:
    """Return the accuracy in percent on groups of classes, mean over networks."""
    found, start = [], 0
    for size in sizes:
        own = slice(start, start + size)
        tested = sum(result.tested[own]) * len(result.right)
        found.append(100 * sum(sum(right[own]) for right in result.right) / tested)
        start += size
    return found
