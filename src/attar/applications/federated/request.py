"""What a user can ask of `attar federated`; free of torch, so that help appears at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from attar.applications.continual.memory import Memory, Rounding
from attar.applications.continual.request import Condensing, command_of, slim_request
from attar.applications.federated.bandwidth import Bandwidth, parse_bandwidth
from attar.errors import BadRequest, unknown
from attar.kinds import settle_kinds
from attar.options import Name, Number, Whole, option
from attar.renaming import fields
from attar.slimming.request import SlimRequest
from attar.wording import option_of

FEDAVG = "fedavg"
BASELINES = (FEDAVG, "random", "coded")
_CHOICES = {"rounding": ("down", "paper")}
_COUNTS = ("clients", "repeats", "local_epochs")


@fields(slim_set="slim_settings")
@dataclass(frozen=True)
class FederatedRequest:
    """The options of `attar federated` beside those of condensing."""

    clients: int
    """Clients, each with data of its own. Round after round one more takes part."""
    bandwidth: str
    """What all of a round may send together: 500 (full float32 images), or 1.5MB."""
    dirichlet: Annotated[Number, option("ALPHA")] = None
    """Share every class out by proportions drawn from Dirichlet(ALPHA): the smaller, the more
    uneven. Left out: every client has classes of its own."""
    rounding: Annotated[Rounding, option("{down,paper}", kind=str)] = "down"
    """A share of the bandwidth has room for a part of an image more of each class: leave it empty
    (down), or round up and exceed the bandwidth, as a paper does."""
    slimming: Name = None
    """How a client shrinks its first set to its share: slimmable (matching of parameters),
    learning-free, random, or a method of 'attar methods' such as frepo or dm. Left out: random for
    real images that a method chose, else slimmable."""
    slim_iterations: Whole = None
    """Updates of each slimming."""
    slim_lr: Number = None
    """Learning rate of each slimming; that of its method where left out, not --lr."""
    slim_settings: Annotated[
        tuple[str, ...] | Mapping[str, Any] | None,
        option("NAME=VALUE", kind=tuple[str, ...], name="slim-set"),
    ] = ()
    """Settings of the slimming, such as pool=5."""
    baselines: Annotated[str | None, option("NAMES")] = None
    """What else sends the same bytes: fedavg (averaged weights), random (real images), coded (real
    images in a picture codec), with commas between them."""
    local_epochs: int = 5
    """Epochs of every client between two averages of fedavg."""
    repeats: int = 3
    """Networks trained in every round."""
    epochs: Whole = None
    """Epochs of each in place of the card's."""
    updates: Whole = None
    """Updates of each in place of the card's."""
    timeout: float = 3600.0
    """Seconds that a round waits for clients; who has not answered then is left out of it."""
    output: Annotated[Path | None, option("DIR", "-o")] = None
    """Folder for sets, accuracies and the page. What is there is not done again."""
    overwrite: bool = False
    """Begin anew in a folder that another run has written."""

    def __post_init__(self) -> None:
        if isinstance(self.slim_settings, str):
            object.__setattr__(self, "slim_settings", (self.slim_settings,))
        settle_kinds(self)
        self._refuse_values()
        if self.epochs is not None and self.updates is not None:
            raise BadRequest("give --epochs or --updates, not both")
        for name in self.beside:
            if name not in BASELINES:
                raise unknown("name of --baselines", name, BASELINES)
        self.slim(2, "slimmable", 0)
        _ = self.shared

    def _refuse_values(self) -> None:
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise BadRequest(f"{option_of(name)} {getattr(self, name)}: at least 1 is needed")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise BadRequest(f"--{name} {getattr(self, name)}: {' or '.join(allowed)}")
        for name in ("dirichlet", "timeout"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise BadRequest(f"--{name} {value}: a positive number is needed")

    @property
    def beside(self) -> tuple[str, ...]:
        """The baselines, each once."""
        named = (name.strip() for name in (self.baselines or "").split(","))
        return tuple(dict.fromkeys(filter(None, named)))

    @property
    def shared(self) -> Bandwidth:
        """The bandwidth."""
        return parse_bandwidth(self.bandwidth)

    @property
    def held(self) -> Memory:
        """The bandwidth as a memory of all sets together."""
        return self.shared.memory

    @property
    def steps(self) -> int:
        """Rounds: one more client takes part in each."""
        return self.clients

    @property
    def groups(self) -> str:
        """The option that says into how many groups the classes are divided."""
        return "clients"

    def slim(
        self, ipc: int, usual: str, seed: int, network: Any = None, **options: Any
    ) -> SlimRequest:
        """Return the request of one slimming; see `slim_request`."""
        return slim_request(self, ipc, usual, seed, network, **options)

    def command(self, source: str, condensing: Condensing, **reading: object) -> str:
        """Return the command line that asks for the same."""
        return command_of("federated", self, source, condensing, **reading)
