"""A round: clients are asked, what arrives is looked at, and networks learn from it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from attar import compute as computing
from attar.applications.continual.replay import Replay
from attar.applications.federated.arriving import Refused, checked
from attar.applications.federated.asking import Answer, Ask
from attar.applications.federated.averaging import Weights, averaged, packed, unpacked
from attar.applications.federated.contending import Contender
from attar.applications.federated.results import Round, Turn
from attar.applications.federated.serving import Server
from attar.applications.sets import measured
from attar.data import LabelledImages
from attar.networks import make_for
from attar.rng import Key
from attar.training.trainer import Trainer

MISSING = "it did not answer"


def hold(server: Server, contender: Contender, participants: int) -> Round:
    """Return what came of a round, held now or before.

    Args:
        server: with the line to its clients.
        contender: what they send.
        participants: how many are asked, from the first one on.
    """
    folder = server.folder / contender.name
    kept = folder / f"round-{participants}.json"
    if kept.exists():
        return Round.load(kept)
    server.callback.round(contender.name, participants)
    one = (_weights if contender.averages else _sets)(server, contender, participants)
    folder.mkdir(parents=True, exist_ok=True)
    one.save(kept)
    return one


def _sets(server: Server, contender: Contender, participants: int) -> Round:
    """Ask for sets, and train on those that arrive."""
    began, shape = time.perf_counter(), server.test.shape
    share = server.request.shared.share(participants, shape, server.request.rounding)
    ask = Ask(contender.name, participants, share)
    answers = _asked(server, ask)
    there = {client: one.data for client, one in answers.items() if one.data is not None}
    taken, odd = checked(there, {client: server.expected(client, share) for client in there})
    refused = server.refused({**_missing(answers), **odd})
    sets = [server.keep(contender, participants, client, there[client]) for client in taken]
    asking = time.perf_counter() - began
    replay = Replay(tuple(taken.values()))
    accuracies: tuple[float, ...] = ()
    network, card = "", server.card
    if taken:
        found = measured(
            replay,
            server.test,
            server.parting.splits.train.name,
            None,
            server.card,
            server.request,
            contender.condensing,
            server.key(contender).fold(participants),
            server.callback.trained,
        )
        accuracies, network, card = found.accuracies, found.network, found.card
    return Round(
        contender.name,
        participants,
        tuple(replay.class_names),
        tuple(server.per_class(client, share) for client in taken),
        replay.paper_bytes,
        replay.bytes if taken else 0,
        sum(map(len, there.values())),
        _counted(answers),
        tuple(sets),
        refused,
        accuracies,
        network,
        card,
        {"asking": asking, "training": time.perf_counter() - began - asking},
    )


def _weights(server: Server, contender: Contender, participants: int) -> Round:
    """Average weights as often as the bandwidth allows, once at least."""
    began, condensing = time.perf_counter(), contender.condensing
    names = {name for own in server.parting.classes[:participants] for name in own}
    # numbered as all are
    classes = tuple(name for name in server.test.class_names if name in names)
    test = server.test.of_classes(classes)
    network = make_for(condensing.network or server.network, test.shape, len(classes))
    compute = computing.choose(
        condensing.device, condensing.precision, condensing.torch_compile, pixels=0.0
    )
    exchange = _Exchange(server, contender, participants, Trainer(network, compute), test)
    runs = [exchange.run(repeat) for repeat in range(1, server.request.repeats + 1)]
    first = runs[0]
    means = map(statistics.fmean, zip(*(run.accuracies for run in runs), strict=True))
    return Round(
        contender.name,
        participants,
        classes,
        (),
        first.bare,
        first.bare,
        first.carried[-1],
        first.counted,
        (),
        server.refused({client: why for run in runs for client, why in run.odd.items()}),
        tuple(run.accuracies[-1] for run in runs),
        network.name,
        contender.name,
        {"training": time.perf_counter() - began},
        tuple(Turn(sent, mean) for sent, mean in zip(first.carried, means, strict=True)),
    )


@dataclass
class _Run:
    """One network whose weights were averaged.

    Args:
        accuracies: after every exchange, in percent.
        carried: bytes of the messages of clients, up to each exchange.
        bare: bytes of the weights alone that arrived.
        counted: bytes as a framework counts them; None without one.
        odd: why clients were left out of an exchange, by their numbers.
    """

    accuracies: list[float] = field(default_factory=list)
    carried: list[int] = field(default_factory=list)
    bare: int = 0
    counted: int | None = None
    odd: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Exchange:
    """Weights that go to clients, come back trained, and are averaged."""

    server: Server
    contender: Contender
    participants: int
    trainer: Trainer
    test: LabelledImages

    def run(self, repeat: int) -> _Run:
        """Return what came of one network, which begins as those that learn from sets do."""
        server, found = self.server, _Run()
        server.callback.trained(repeat, None)
        key: Key = server.key(self.contender).fold(self.participants, repeat)
        device = self.trainer.compute.device
        drawn = self.trainer.network.draw(key.fold("network"), device)
        weights: Weights = self.trainer.training.tensors(drawn)
        size = _size(weights)
        limit = server.request.shared.limit(self.test.shape)
        for turn in range(max(1, limit // (self.participants * size))):
            weights = self._turn(repeat, turn, weights, found)
            found.accuracies.append(self.trainer.accuracy(dict(weights), self.test))
        server.callback.trained(repeat, found.accuracies[-1])
        return found

    def _turn(self, repeat: int, turn: int, weights: Weights, found: _Run) -> Weights:
        """Return the weights after one exchange; as they were where nothing came back."""
        server, classes = self.server, self.test.class_names
        ask = Ask(
            self.contender.name,
            self.participants,
            0,
            tuple(classes),
            self.trainer.network.name,
            server.request.local_epochs,
            repeat,
            turn,
        )
        answers = _asked(server, ask, packed(weights, 1))
        parts: list[tuple[Weights, int]] = []
        for client, one in answers.items():
            if one.data is None:
                found.odd[client] = one.missing
                continue
            try:
                parts.append(unpacked(one.data, weights, len(server.parting.splits.train)))
            except Refused as refused:
                found.odd[client] = refused.why
        sent = sum(len(one.data or b"") for one in answers.values())
        found.carried.append(sent + (found.carried[-1] if found.carried else 0))
        found.bare += len(parts) * _size(weights)
        counted = _counted(answers)
        found.counted = counted if counted is None else counted + (found.counted or 0)
        return averaged(parts) if parts else weights


def _size(weights: Weights) -> int:
    return sum(one.numel() * one.element_size() for one in weights.values())


def _asked(server: Server, ask: Ask, payload: bytes = b"") -> dict[int, Answer]:
    """Ask all participants the same; whoever is not among the answers did not give one."""
    asked = dict.fromkeys(range(1, ask.participants + 1), ask)
    answers = server.courier.send(asked, payload)
    return {client: answers.get(client, Answer(missing=MISSING)) for client in asked}


def _missing(answers: Mapping[int, Answer]) -> dict[int, str]:
    return {client: one.missing for client, one in answers.items() if one.data is None}


def _counted(answers: Mapping[int, Answer]) -> int | None:
    """Return bytes as a framework counts them; None where there is none."""
    known = [one.counted for one in answers.values() if one.counted is not None]
    return sum(known) if known else None
