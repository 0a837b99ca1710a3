"""A client: what it answers, of its own images alone."""

from __future__ import annotations

import copy
import dataclasses
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from attar import compute as computing
from attar.applications.continual.checking import usual_slimming
from attar.applications.federated.arriving import Refused
from attar.applications.federated.asking import Answer, Ask
from attar.applications.federated.averaging import local_card, packed, unpacked
from attar.applications.federated.bandwidth import divided
from attar.applications.federated.carrying import lightened
from attar.applications.federated.contending import Contender
from attar.applications.federated.dividing import first_size
from attar.applications.federated.telling import FederatedCallback
from attar.applications.sets import condensed, shrunk
from attar.artefact.artefact import Artefact
from attar.artefact.loading import load
from attar.data import LabelledImages, Splits
from attar.errors import AttarError, BadRequest, Interrupted
from attar.networks import make_for
from attar.rng import Key
from attar.training.fitting import FACTOR, LEARNT_LR, LEARNT_UPDATES
from attar.training.learning import Midway
from attar.training.trainer import Trainer

# what the provenance of a set may say outside: nothing of where its images lie
_TOLD = ("dataset", "attar", "step", FACTOR, LEARNT_LR, LEARNT_UPDATES)


@dataclass(frozen=True)
class Client:
    """One of several, with images that nobody else sees.

    Args:
        number: from 1.
        contenders: by name; how sets are made and shrunk.
        splits: its images.
        reading: how they were read.
        folder: for its sets, which are made once and go on where they were left.
        callback: told how it goes.
    """

    number: int
    contenders: Mapping[str, Contender]
    splits: Splits
    reading: Mapping[str, Any]
    folder: Path
    callback: FederatedCallback

    def answer(self, ask: Ask, payload: bytes = b"") -> bytes:
        """Return one message.

        Args:
            ask: for a set at a size, or for weights trained on.
            payload: the weights to begin with.

        Raises:
            AttarError: what is asked for cannot be done.
        """
        if ask.contender not in self.contenders:
            raise BadRequest(f"nothing is known of {ask.contender!r}")
        contender = self.contenders[ask.contender]
        return self._weights(ask, payload) if contender.averages else self._set(ask, contender)

    def _set(self, ask: Ask, contender: Contender) -> bytes:
        """Return the first set, or what it is slimmed to; each time from the first one."""
        request, names = contender.request, self.splits.train.class_names
        shape, rounding = self.splits.train.shape, request.rounding
        whole = request.shared.share(1, shape, rounding)
        seeded = dataclasses.replace(contender.condensing, seed=self._seed(contender))
        first = self.folder / f"{contender.name}.safetensors"
        ipc = first_size(whole, self.splits.train, rounding)
        own = seeded.of(request.held, len(names), ipc, first)
        reading = {**self.reading, "classes": list(names)}
        made = shrunk(
            condensed(own, self.splits, reading, self.callback.condensing()),
            self.folder / f"{contender.name}-at-{ask.share}.safetensors",
            divided(ask.share, len(names), rounding),
            usual_slimming(request, contender.condensing),
            self._seed(contender),
            request,
            contender.condensing,
            self.callback.condensing,
        )
        return _silent(load(made))

    def _weights(self, ask: Ask, payload: bytes) -> bytes:
        """Return weights trained on from those that are given, on all own images."""
        condensing = self.contenders[ask.contender].condensing
        own = self._numbered(ask.classes)
        network = make_for(condensing.network or ask.network, own.shape, own.classes)
        compute = computing.choose(
            condensing.device, condensing.precision, condensing.torch_compile, pixels=0.0
        )
        trainer, card = Trainer(network, compute), local_card(ask.epochs)
        like = trainer.training.tensors(network.draw(Key(0), compute.device))
        try:
            begun, _ = unpacked(payload, like, 10**18)
        except Refused as refused:
            raise BadRequest(f"weights from the server: {refused.why}") from None
        key = Key(self._seed(self.contenders[ask.contender]))
        key = key.fold("fedavg", ask.participants, ask.repeat, ask.turn)
        labels = own.labels.to(compute.device)
        (trained,) = trainer.fit_together(own, labels, card, "none", [key], begun=Midway(0, begun))
        return packed(trained, len(own))

    def _numbered(self, classes: Sequence[str]) -> LabelledImages:
        """Return the own images with their classes numbered as all are."""
        own = self.splits.train
        if odd := [name for name in own.class_names if name not in classes]:
            raise BadRequest(f"the server knows no class {odd[0]!r}")
        places = torch.tensor([classes.index(name) for name in own.class_names])
        return dataclasses.replace(
            own, labels=places[own.labels], class_names=tuple(classes), may_lack_classes=True
        )

    def _seed(self, contender: Contender) -> int:
        return contender.condensing.seed + self.number - 1


def _silent(artefact: Artefact) -> bytes:
    """Return an artefact as its file, which says nothing of the machine that it was made on.

    The whitening, which the server has, is left out.
    """
    header = artefact.header
    told = {name: header.provenance[name] for name in _TOLD if name in header.provenance}
    kept = {name: one for name, one in header.settings.items() if name != "experts"}
    spoken = copy.copy(artefact)
    spoken.header = header.model_copy(update={"provenance": told, "settings": kept})
    with tempfile.TemporaryDirectory(prefix="attar-sent-") as folder:
        path = Path(folder) / "set.safetensors"
        spoken.save(path)
        return lightened(path.read_bytes(), artefact.preprocessing)


@dataclass(frozen=True)
class Local:
    """Clients in this process, one after the other.

    Args:
        clients: by number.
        timeout: seconds that each may take.
        callback: told what failed.
    """

    clients: Mapping[int, Client]
    timeout: float
    callback: FederatedCallback

    def send(self, asked: Mapping[int, Ask], payload: bytes = b"") -> Mapping[int, Answer]:
        """Return the answers; see `Courier`."""
        return {number: self._one(number, ask, payload) for number, ask in asked.items()}

    def _one(self, number: int, ask: Ask, payload: bytes) -> Answer:
        began = time.monotonic()
        try:
            data = self.clients[number].answer(ask, payload)
        except Interrupted:
            raise
        except AttarError as error:
            self.callback.failed(number, error)
            return Answer(missing=FAILED)
        return in_time(data, time.monotonic() - began, self.timeout)


FAILED = "it could not make what it was asked for"


def late(timeout: float) -> str:
    """Say that a client did not answer."""
    return f"it had not answered after {timeout:g} s"


def in_time(data: bytes, seconds: float, timeout: float) -> Answer:
    """Return an answer that took so long."""
    return Answer(missing=late(timeout)) if seconds > timeout else Answer(data)
