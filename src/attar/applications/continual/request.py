"""What a user can ask of `attar continual`; free of torch, so that help appears at once."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Fixed, Suppress

from attar.applications.continual.memory import Memory, Rounding, parse_memory
from attar.condensing.request import Request
from attar.errors import BadRequest
from attar.kinds import settle_kinds
from attar.options import Name, Number, Whole, option, settings_as_texts
from attar.renaming import fields
from attar.slimming.request import SlimRequest
from attar.text import command_line
from attar.wording import KEYWORDS

# ways to shrink that train nothing
LEARNING_FREE, RANDOM = "learning-free", "random"
# what a memory says, or this command does by itself
TAKEN = (
    *("ipc", "max_bytes", "synthetic_per_class", "output", "resume", "overwrite", "snapshots"),
    *("tensorboard", "logger"),
)
# how a memory for all classes together shrinks
SLIMMING = ("slimming", "slim_iterations", "slim_lr", "slim_settings")
# what begins options of 'attar slim' that have another name here
_OWN = re.compile(r"--(?=(?:iterations|lr|set)\b)")
_ROUNDINGS = ("down", "paper")


@fields(**KEYWORDS)
@dataclass(frozen=True)
class Condensing(Request):
    """How the classes that arrive are condensed: options of `attar condense`."""

    ipc: Annotated[int | None, Fixed, Suppress] = None
    max_bytes: Annotated[str | int | None, Fixed, Suppress] = None
    method: Annotated[Any, option("NAME", kind=str)] = None
    """Name of the method; 'attar methods' lists them. Left out: best, which decides by what is
    asked for, where --memory or --bandwidth says bytes; else lodm."""
    synthetic_per_class: Annotated[int | None, Fixed, Suppress] = None
    output: Annotated[Path | None, Fixed, Suppress] = None
    resume: Annotated[bool, Fixed, Suppress] = False
    overwrite: Annotated[bool, Fixed, Suppress] = False
    snapshots: Annotated[int | str | tuple[int, ...] | None, Fixed, Suppress] = None
    tensorboard: Annotated[Path | None, Fixed, Suppress] = None
    logger: Annotated[str | None, Fixed, Suppress] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in TAKEN:
            if self.gives(name):
                raise BadRequest(
                    f"{name}: --memory (or --bandwidth) says how much is kept, and -o where; leave "
                    "it out"
                )

    def of(self, memory: Memory, classes: int, ipc: int | None, output: Path | None) -> Request:
        """Return the request that condenses so many classes.

        Args:
            memory: that they share.
            classes: how many.
            ipc: images of each, where the memory counts them.
            output: the artefact to write, gone on with where it is begun.
        """
        own = {name: getattr(self, name) for name in Request.__dataclass_fields__}
        own |= memory.budget(classes, ipc)
        own |= {"output": output, "resume": output is not None}
        found = Request(**own)
        if found.chosen.choose and found.teacher_storage is None:
            # sets of different classes are trained on together, and each would carry its own
            return dataclasses.replace(found, teacher_storage="none")
        return found


@fields(slim_set="slim_settings")
@dataclass(frozen=True)
class ContinualRequest:
    """The options of `attar continual` beside those of condensing."""

    steps: int
    """Groups in which the classes arrive."""
    memory: str
    """What is kept: 20ipc (full float32 images of each class), 60kB/class, or for all classes
    together, however many there are: 500images, 1.5MB."""
    orders: int = 1
    """Orders of the classes, each drawn from --seed and its number."""
    rounding: Annotated[Rounding, option("{down,paper}", kind=str)] = "down"
    """A memory for all classes together has room for a part of an image more of each: leave it
    empty (down), or round up and exceed the memory, as a paper does."""
    slimming: Name = None
    """How such a memory shrinks: slimmable (matching of parameters), learning-free, random, or a
    method of 'attar methods' such as frepo or dm. Left out: random for real images that a method
    chose, else slimmable."""
    slim_iterations: Whole = None
    """Updates of each slimming."""
    slim_lr: Number = None
    """Learning rate of each slimming; that of its method where left out, not --lr."""
    slim_settings: Annotated[
        tuple[str, ...] | Mapping[str, Any] | None,
        option("NAME=VALUE", kind=tuple[str, ...], name="slim-set"),
    ] = ()
    """Settings of the slimming, such as pool=5."""
    repeats: int = 3
    """Networks trained after every step."""
    epochs: Whole = None
    """Epochs of each in place of the card's."""
    updates: Whole = None
    """Updates of each in place of the card's."""
    output: Annotated[Path | None, option("DIR", "-o")] = None
    """Folder for memories, accuracies and the page. What is there is not done again."""
    overwrite: bool = False
    """Begin anew in a folder that another run has written."""

    def __post_init__(self) -> None:
        if isinstance(self.slim_settings, str):
            object.__setattr__(self, "slim_settings", (self.slim_settings,))
        settle_kinds(self)
        for name in ("steps", "orders", "repeats"):
            if getattr(self, name) < 1:
                raise BadRequest(f"--{name} {getattr(self, name)}: at least 1 is needed")
        if self.rounding not in _ROUNDINGS:
            raise BadRequest(f"--rounding {self.rounding}: down or paper")
        if self.epochs is not None and self.updates is not None:
            raise BadRequest("give --epochs or --updates, not both")
        if self.held.fixed:
            self.slim(2, "slimmable", 0)
            return
        for name in SLIMMING:
            if getattr(self, name) not in (None, (), {}):
                raise BadRequest(
                    f"--{name.replace('_', '-').replace('settings', 'set')}: a memory of "
                    f"{self.held} grows with the classes and never shrinks; leave it out, or give "
                    "one for all classes, such as --memory 500images"
                )
        if self.rounding != "down":
            raise BadRequest(
                f"--rounding {self.rounding}: a memory of {self.held} divides nothing; leave it out"
            )

    @property
    def groups(self) -> str:
        """The option that says into how many groups the classes are divided."""
        return "steps"

    @property
    def held(self) -> Memory:
        """The memory."""
        return parse_memory(self.memory)

    def slim(
        self, ipc: int, usual: str, seed: int, network: Any = None, **options: Any
    ) -> SlimRequest:
        """Return the request of one slimming.

        Args:
            ipc: images of each class that are left.
            usual: how, where nothing was said.
            seed: of it.
            network: to match in, where one was named; for what is trained.
            **options: further fields of `SlimRequest`.
        """
        return slim_request(self, ipc, usual, seed, network, **options)

    def command(self, source: str, condensing: Condensing, **reading: object) -> str:
        """Return the command line that asks for the same."""
        return command_of("continual", self, source, condensing, **reading)


def command_of(
    name: str, request: Any, source: str, condensing: Condensing, **reading: object
) -> str:
    """Return the command line that asks for what a request of an application does.

    Args:
        name: of the command.
        request: a dataclass of its options.
        source: the data.
        condensing: how sets are made.
        **reading: how the data are read.
    """
    own = {
        name: getattr(request, name)
        for name, item in type(request).__dataclass_fields__.items()
        if name not in ("output", "overwrite", "slim_settings")
        and getattr(request, name) != item.default
    }
    own["slim_set"] = settings_as_texts(request.slim_settings)
    command = command_line(["attar", name, source], own)
    # without its own first words and its output
    more = shlex.split(condensing.command(source, **reading))[3:-2]
    output = request.output.name if request.output else "DIR"
    return " ".join([command, *([shlex.join(more)] if more else []), "-o", output])


def slim_request(
    request: Any, ipc: int, usual: str, seed: int, network: Any = None, **options: Any
) -> SlimRequest:
    """Return the request of one slimming.

    Args:
        request: of an application, with the options that `SLIMMING` names.
        ipc: images of each class that are left.
        usual: how, where it does not say: ``learning-free``, ``random`` or a method.
        seed: of it.
        network: to match in, where one was named; for what is trained.
        **options: further fields of `SlimRequest`.
    """
    how = request.slimming or usual
    own: dict[str, Any] = {
        "ipc": ipc,
        "learning_free": how == LEARNING_FREE,
        "random": how == RANDOM,
        "iterations": request.slim_iterations,
        "lr": request.slim_lr,
        "settings": request.slim_settings,
        "seed": seed,
    }
    if how not in (LEARNING_FREE, RANDOM):
        own |= {"method": how, "network": network}
    with options_of_slimming():
        return SlimRequest(**own, **options)


@contextlib.contextmanager
def options_of_slimming() -> Iterator[None]:
    """Let what is refused about a slimming be named by its own options, not those of condensing."""
    try:
        yield
    except BadRequest as error:
        raise type(error)(_OWN.sub("--slim-", error.text)) from error
