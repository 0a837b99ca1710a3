"""What a user can ask of `attar slim`; free of torch, so that help appears at once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from attar.condensing.request import Request
from attar.errors import BadRequest, unknown
from attar.kinds import settle_kinds
from attar.options import Compiling, Name, Number, Settings, Whole, option, settings_as_texts
from attar.renaming import fields
from attar.text import command_line
from attar.wording import KEYWORDS, option_of

# the options that say how a set is trained, and mean nothing where none is
_OF_TRAINING = (
    "iterations",
    "minutes",
    "lr",
    "optimiser",
    "schedule",
    "average",
    "network",
    "settings",
)
_CHOICES = {"init": ("significance", "random"), "share": (None, "all", "class")}
# the options that a slimming hands on to the run that carries it out
_HANDED_ON = (
    "iterations",
    "minutes",
    "lr",
    "optimiser",
    "schedule",
    "average",
    "network",
    "card",
    "settings",
    "seed",
    "device",
    "precision",
    "torch_compile",
    "chunk",
    "threads",
    "resume",
    "overwrite",
    "checkpoint_seconds",
)


@fields(**KEYWORDS)
@dataclass(frozen=True)
class SlimRequest:
    """The options of one slimming. What is left out is the method's own setting."""

    ipc: Annotated[Any, option("N,…", kind=str)] = None
    """Memory of this many full float32 images per class, less than the artefact has; several,
    such as 20,10,5,2,1, are made one after another, each from the one before."""
    learning_free: bool = False
    """Drop the least significant components and train nothing."""
    random: bool = False
    """Keep images drawn at random and train nothing."""
    expand: bool = False
    """Keep the number of images: each is made of the components that are left, whose
    coefficients are stored beside them. Left out: as many images as components."""
    share: Annotated[Literal["all", "class"] | None, option("{all,class}", kind=str)] = None
    """Whether all classes share coefficients and significances, or each has its own; an artefact
    of another kind is factored anew. Left out: as it is, or all where it has no components."""
    init: Annotated[
        Literal["significance", "random"], option("{significance,random}", kind=str)
    ] = "significance"
    """What --method slimmable begins with: the most significant components, or images drawn at
    random."""
    method: str = "slimmable"
    """Method that learns the smaller set, with the artefact as its only data: slimmable (matching
    of parameters), or a method of 'attar methods' such as dm, dc, dsa or frepo."""
    iterations: Whole = None
    """Updates of the smaller set."""
    minutes: Number = None
    """Wall minutes of each size: compiling, updating and writing."""
    lr: Number = None
    """Learning rate of images or components. This, --optimiser and --schedule hold for learnt
    labels, too, where the method updates both in the same way."""
    optimiser: Annotated[
        Literal["sgd", "adam", "lamb", "adabelief"] | None,
        option("{sgd,adam,lamb,adabelief}", kind=str),
    ] = None
    """Their optimiser."""
    schedule: Annotated[
        Literal["constant", "linear", "cosine", "late_halving"] | None,
        option("{constant,linear,cosine,late_halving}", kind=str),
    ] = None
    """How their learning rate falls over --iterations."""
    average: Number = None
    """Keep a running average of what is stored; the weight of the past; 0 for none."""
    network: Annotated[Any, option("NAME", kind=str)] = None
    """Network to match in; 'attar networks' lists them."""
    card: Name = None
    """Evaluation card that the artefact names as its own."""
    settings: Settings = ()
    """Settings of the objective or of its penalties, such as first=0, skew=0 or pool=5; from Python
    also {"pool": 5}."""
    storage: Name = None
    """How stored values are kept, as of 'attar condense'; the artefact's own left out."""
    seed: int = 0
    """Everything random follows from it."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], option("{auto,float32,bfloat16}", kind=str)
    ] = "auto"
    """Precision of the networks."""
    torch_compile: Compiling = "auto"
    """Compile the networks; auto: where the run is long enough to gain from it."""
    chunk: Whole = None
    """The most images per network call."""
    threads: Whole = None
    """CPU threads. Left out, on the command line: one for every core that is free, or as
    OMP_NUM_THREADS says; from Python: as the process has set."""
    output: Annotated[Path | None, option("OUT.safetensors", "-o")] = None
    """The artefact to write; with several sizes, OUT-ipc5.safetensors and so on."""
    resume: bool = False
    """Continue from the checkpoint beside the output, if there is one."""
    overwrite: bool = False
    """Replace an existing output or checkpoint."""
    checkpoint_seconds: float = 60.0
    """The longest time between two checkpoints."""

    def __post_init__(self) -> None:
        if isinstance(self.settings, str):
            object.__setattr__(self, "settings", (self.settings,))
        settle_kinds(self)
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                known = [value for value in allowed if value]
                raise unknown(f"value of --{name}", str(getattr(self, name)), known)
        self._check_way()
        self.run_of(self.sizes()[0], None)

    def _check_way(self) -> None:
        """Refuse options that mean nothing for how the set is made."""
        if self.learning_free and self.random:
            raise BadRequest("give --learning-free or --random, not both")
        for name in () if self.trains else _OF_TRAINING:
            value = getattr(self, name)
            if value != type(self).__dataclass_fields__[name].default:
                said = " ".join(settings_as_texts(value)) if name == "settings" else value
                raise BadRequest(f"{option_of(name)} {said}: nothing is trained here; leave it out")
        if not self.trains and self.method != "slimmable":
            raise BadRequest(
                f"--method {self.method}: it trains; leave out --learning-free and --random"
            )
        if self.expand and (self.random or self.method != "slimmable"):
            raise BadRequest(
                "--expand: only the components of --method slimmable can make more images"
            )
        if self.init == "random" and (self.expand or self.method != "slimmable" or not self.trains):
            raise BadRequest(
                "--init random: another start for what --method slimmable learns; leave out "
                "--expand, --learning-free and --random, which draws images without learning"
            )

    @property
    def trains(self) -> bool:
        """Whether the smaller set is learnt."""
        return not (self.learning_free or self.random)

    def sizes(self) -> tuple[int, ...]:
        """Return the memories asked for, in images per class, falling."""
        given: Any = self.ipc
        if isinstance(given, str):
            given = [int(part) if part.strip().isdecimal() else part for part in given.split(",")]
        sizes: tuple[Any, ...] = tuple(given) if isinstance(given, Sequence) else (given,)
        if sizes == (None,):
            raise BadRequest("--ipc is missing: say how small, such as --ipc 5 or --ipc 20,10,5")
        for size in sizes:
            if type(size) is not int or size < 1:
                raise BadRequest(f"--ipc {size}: a whole number of images per class, 1 or more")
        if any(later >= earlier for earlier, later in itertools.pairwise(sizes)):
            listed = ",".join(map(str, sizes))
            raise BadRequest(f"--ipc {listed}: each must be smaller than the one before")
        return sizes

    def output_of(self, size: int) -> Path | None:
        """Return the file of one size; with a single size, the output itself."""
        if self.output is None or len(self.sizes()) == 1:
            return self.output
        return self.output.with_name(f"{self.output.stem}-ipc{size}{self.output.suffix}")

    def run_of(self, size: int, storage: str | None) -> Request:
        """Return the request of the run that makes one size.

        Args:
            size: its memory in images per class.
            storage: the type of the stored values where the user named none.
        """
        handed = {name: getattr(self, name) for name in _HANDED_ON}
        return Request(
            method=self.method,
            ipc=size,
            storage=self.storage or storage or "float32",
            output=self.output_of(size),
            validation=0,
            **handed,
        )

    def command(self, source: str, size: int) -> str:
        """Return the command line that slims ``source`` to one size in the same way."""
        options: dict[str, object] = {"ipc": size}
        skipped = {"ipc", "output", "resume", "overwrite", "checkpoint_seconds", "settings"}
        for name, item in type(self).__dataclass_fields__.items():
            value = getattr(self, name)
            if name not in skipped and value != item.default:
                options[name] = value
        options["settings"] = settings_as_texts(self.settings)
        output = self.output_of(size)
        return command_line(
            ["attar", "slim", source], options, output.name if output else "OUT.safetensors"
        )
