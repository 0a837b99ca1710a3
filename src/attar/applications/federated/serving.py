"""What a server knows of its clients, and what it keeps of what they send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from attar.applications.federated.arriving import Expected
from attar.applications.federated.asking import Courier
from attar.applications.federated.carrying import completed
from attar.applications.federated.contending import Contender
from attar.applications.federated.dividing import Parting
from attar.applications.federated.request import FederatedRequest
from attar.applications.federated.results import Refusal
from attar.applications.federated.telling import FederatedCallback
from attar.budget import Budget
from attar.data import LabelledImages
from attar.files import write_atomically
from attar.rng import Key
from attar.training import card as find_card


@dataclass(frozen=True)
class Server:
    """What a server knows, and the line to its clients.

    Args:
        request: the options.
        parting: what each client has; of the images the server reads none.
        test: real images of all classes.
        card: by which networks are trained.
        network: of averaged weights, by name.
        folder: for what arrives and what comes of it.
        courier: the line.
        callback: told how it goes.
    """

    request: FederatedRequest
    parting: Parting
    test: LabelledImages
    card: str
    network: str
    folder: Path
    courier: Courier
    callback: FederatedCallback

    def expected(self, client: int, share: int) -> Expected:
        """Return what the set of a client may be."""
        names, shape = self.parting.classes[client - 1], self.test.shape
        images = max(share, self.per_class(client, share) * len(names))
        limit = Budget(ipc=images).limit(1, shape) or 0
        return Expected(self.test, names, limit, find_card(self.card))

    def per_class(self, client: int, share: int) -> int:
        """Return the full images of each class of a client."""
        return self.parting.per_class(client, share, self.request.rounding)

    def keep(self, contender: Contender, participants: int, client: int, data: bytes) -> str:
        """Write the set in a message as a file; return its path in the folder of the run."""
        path = Path(contender.name) / f"round-{participants}" / f"client-{client}.safetensors"
        whole = completed(data, self.test.preprocessing)
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / path, lambda temporary: temporary.write_bytes(whole))
        return path.as_posix()

    def refused(self, why: Mapping[int, str]) -> tuple[Refusal, ...]:
        """Return who is left out of a round, told."""
        found = tuple(Refusal(client, said) for client, said in sorted(why.items()))
        for one in found:
            self.callback.refused(one)
        return found

    def key(self, contender: Contender) -> Key:
        """Return that of the networks of a contender."""
        return Key(contender.condensing.seed).fold("federated")
