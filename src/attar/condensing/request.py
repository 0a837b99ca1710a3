"""What a user can ask of `attar condense`; free of torch, so that help appears at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from attar.budget import Budget, Count, parse_bytes
from attar.condensing.tracking import Logger
from attar.errors import BadRequest, unknown
from attar.kinds import settle_kinds
from attar.methods import Method, method_of
from attar.options import (
    Compiling,
    Folder,
    Name,
    NameOrPath,
    Number,
    Settings,
    Whole,
    check_kept,
    described,
    mean_rank,
    option,
    read_settings,
    settings_as_texts,
)
from attar.renaming import fields
from attar.text import command_line
from attar.wording import KEYWORDS, option_of

# real images drawn at random, noise, or the selectors in attar.coresets
INITS = ("real", "noise", "herding", "forgetting", "kcenter", "confident", "crops")
# the options that Python gives as values, too
_NAMED = ("method", "objective", "form", "network")
# refused here and not by the parser, so that a near name is told
_CHOICES = {
    "init": INITS,
    "optimiser": ("sgd", "adam", "lamb", "adabelief"),
    "schedule": ("constant", "linear", "cosine", "late_halving", "halving"),
    "zca": ("none", "mtt", "frepo", "rtp", "kip"),
    "precision": ("auto", "float32", "bfloat16"),
    "torch_compile": ("auto", "on", "off"),
    "per_class_budget": ("equal", "proportional"),
}


# where neither the user nor the method says how values are kept
PLAIN_STORAGE = "float32"
# what asks for the one that serves a budget of bytes best
AUTO = "auto"
# storages that are known without torch
_PLAIN_STORAGES = ("float32", "float16", "bfloat16", "float8", "int8", "int4", "int3", "int2")


def check_storage(given: str | None) -> None:
    """Refuse what names no storage.

    Raises:
        BadRequest: saying which there are.
    """
    if given is not None and given not in (*_PLAIN_STORAGES, AUTO):
        from attar.storage import storage_of

        storage_of(given)


@fields(**KEYWORDS)
@dataclass(frozen=True)
class Request:
    """The options of one condensation. What is left out is the method's own setting."""

    method: Annotated[Any, option("NAME", kind=str)] = None
    """Name of the method; 'attar methods' lists them. Left out: best, which decides by what is
    asked for (--explain says what), where --bytes says what the set may take; else lodm."""
    objective: Annotated[Any, option("NAME or SUM", kind=str)] = None
    """Match this in place of the method's own objective: a name with settings, or a sum of several,
    such as distribution:batch_real=64+0.1*subspace."""
    form: Annotated[Any, option("FORM", kind=str)] = None
    """Store the set in this form in place of the method's own, such as decoded,
    resized:side=16, frequency:keep=0.25 or low_rank:rank=2,base=tiled:factor=2."""
    ipc: Whole = None
    """Memory of this many full float32 images per class, as the papers count."""
    max_bytes: Annotated[str | int | None, option("SIZE", name="bytes")] = None
    """Memory as a size for the whole set, such as 120kB or 1.5MiB."""
    synthetic_per_class: Annotated[int | None, option("N", kind=int, name="images-per-class")] = (
        None
    )
    """A plain number of synthetic images per class, whatever memory they take."""
    count: Annotated[Count | None, option("{paper,all}", kind=str)] = None
    """What the limit applies to: 'paper' (images or factors) or 'all' that must be kept."""
    per_class_budget: Annotated[
        Literal["equal", "proportional"], option("{equal,proportional}", kind=str)
    ] = "equal"
    """How the images are shared out: equally, or in proportion to the training images of each
    class, one at least, in the same memory."""
    storage: Name = None
    """How stored values are kept: float32 (left out, unless the method chooses), float16, bfloat16,
    float8, or as integers of few bits times scales, coded: int8, int4, int3, int2, int4:rate=3 (see
    docs/storage.md); auto finds by trial runs which of these serves a budget best; images also as
    pictures of a codec: avif, webp, jpeg or png, such as avif:quality=35 (docs/choosing.md); learnt
    labels by themselves: avif:quality=35,labels=int4."""
    rank: Annotated[int | str | None, option("N, auto or auto:N", kind=int | str | None)] = None
    """Rank of the factors: every channel of what the method stores is a product of two. auto: of
    each channel its own, by the spectrum, in the memory of the method's rank (2 without one);
    auto:8 in that of rank 8."""
    init: Annotated[
        Path | str | None,
        option("{real,noise,herding,forgetting,kcenter,confident,crops} or FILE", kind=str),
    ] = None
    """Start from random real images, from noise, from real images chosen in this way, or from the
    images of an artefact (FILE.safetensors)."""
    iterations: Whole = None
    """Updates of the synthetic set."""
    minutes: Number = None
    """Wall minutes of the whole command: reading, compiling, updating, validating (a tenth of them
    at most) and writing."""
    nested: bool = False
    """Make a set whose first 1, 2, … images of every class are good sets, too."""
    bounded: bool = False
    """Keep the images between black and white while they are made, so that plain pictures lose
    nothing but their rounding."""
    lr: Number = None
    """Learning rate of the images or factors. This, --momentum, --optimiser and --schedule hold for
    learnt labels, too, where the method updates both in the same way."""
    momentum: Number = None
    """Momentum of their SGD, from 0 to below 1."""
    optimiser: Annotated[
        Literal["sgd", "adam", "lamb", "adabelief"] | None,
        option("{sgd,adam,lamb,adabelief}", kind=str),
    ] = None
    """Optimiser of the images or factors."""
    schedule: Annotated[
        Literal["constant", "linear", "cosine", "late_halving", "halving"] | None,
        option("{constant,linear,cosine,late_halving,halving}", kind=str),
    ] = None
    """How their learning rate falls over --iterations."""
    average: Number = None
    """Keep a running average of the images or factors in place of the last; the weight of the
    past, such as 0.98; 0 for none."""
    network: Annotated[Any, option("NAME", kind=str)] = None
    """Network to match in, such as convnet3 or alexnet:norm=batch; 'attar networks' lists them."""
    card: Name = None
    """Evaluation card that the artefact names as its own."""
    zca: Annotated[
        Literal["none", "mtt", "frepo", "rtp", "kip"] | None,
        option("{none,mtt,frepo,rtp,kip}", kind=str),
    ] = None
    """Form of ZCA whitening."""
    experts: Folder = None
    """Expert trajectories to match, made by 'attar experts', for methods such as mtt and esp."""
    teacher: NameOrPath = None
    """The trained network that chooses and labels images (methods rded, taught, confident):
    OUT.teacher.safetensors of another set, a folder that 'attar experts' made, or ARCH:FILE, that
    is, weights on disk of torchvision, timm:NAME or a network here, such as
    resnet18:weights.pth,norm=imagenet. The name of a network: it is trained first, as one is where
    this is left out."""
    teacher_storage: Name = None
    """Keep the teacher in the file of the set, in int8, int4, float16, bfloat16 or float32, its
    bytes counted as those of images: under the cards that learn from a teacher networks then learn
    from what it says of every batch (methods confident, taught, rded). none: leave it out."""
    settings: Settings = ()
    """Settings of the objective, or of how real images are chosen, as name=value, such as
    batch_real=64, augment=none or epochs=5; from Python also {"batch_real": 64}."""
    validation: Number = None
    """Share of the training images held out to select the iterate; 0 for none. Left out: 0.1
    where every class has 20 images or more, else 0."""
    validations: int = 5
    """How often, evenly spread, a network is trained and tested on the held-out images."""
    seed: int = 0
    """Everything random follows from it."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], option("{auto,float32,bfloat16}", kind=str)
    ] = "auto"
    """Precision of the networks; images, labels and losses are float32."""
    torch_compile: Compiling = "auto"
    """Compile the networks; auto: where the run is long enough to gain from it."""
    chunk: Whole = None
    """The most images per network call while matching; lower it when memory is short."""
    threads: Whole = None
    """CPU threads. Left out, on the command line: one for every core that is free, or as
    OMP_NUM_THREADS says; from Python: as the process has set."""
    workers: int = 1
    """Processes that share the classes of the set or each step, one GPU each where there are any,
    to the same result (docs/running.md). --threads are those of each. On several machines torchrun
    starts the same command, without this."""
    ray: Annotated[str | None, option("ADDRESS")] = None
    """Let --workers, which share classes, be those of a Ray cluster, such as auto or
    ray://host:10001; local starts one on this machine (needs the extra 'ray')."""
    snapshots: Annotated[int | str | tuple[int, ...] | None, option("N or STEPS", kind=str)] = None
    """Keep iterates in OUT.snapshots.safetensors, for 'attar pictures': this many, evenly spread
    from the start to the end, or those of these steps, such as 0,100,1000."""
    output: Annotated[Path | None, option("OUT.safetensors", "-o")] = None
    """The artefact to write, ending in .safetensors."""
    resume: bool = False
    """Continue from the checkpoint beside the output, if there is one."""
    overwrite: bool = False
    """Replace an existing output or checkpoint."""
    checkpoint_seconds: float = 60.0
    """The longest time between two checkpoints."""
    tensorboard: Folder = None
    """The same as --logger tensorboard:DIR."""
    logger: Annotated[str | None, option("{tensorboard,wandb,trackio}[:PLACE]", kind=str)] = None
    """Track losses and accuracies with TensorBoard (PLACE is a folder, by default runs), Weights
    & Biases or Trackio (a project, by default attar); each needs the extra of its name."""

    def __post_init__(self) -> None:
        self._check_types()
        self._check_length()
        if self.validation is not None and not 0 <= self.validation <= 0.5:
            raise BadRequest(f"--validation {self.validation:g}: from 0 to 0.5")
        if self.average is not None and not 0 <= self.average < 1:
            raise BadRequest(f"--average {self.average:g}: from 0 to below 1")
        self._check_counts()
        if self.teacher is not None and not str(self.teacher).strip():
            raise BadRequest(
                f"--teacher {self.teacher!r}: OUT.teacher.safetensors, a folder that 'attar "
                "experts' made, ARCH:FILE such as resnet18:weights.pth, or the name of a network "
                "such as convnet3, which is trained first; leave it out for the method's own"
            )
        if self.output is not None and self.output.suffix != ".safetensors":
            raise BadRequest(f"-o {self.output}: the name must end in .safetensors")
        check_kept(self)
        if self.kept_steps() is not None and self.output is None:
            raise BadRequest("--snapshots needs -o: they are kept beside the output")
        self.budget()
        self.given_settings()
        self.loggers()

    def loggers(self) -> tuple[Logger, ...]:
        """Return what the run is tracked with."""
        found = [] if self.logger is None else [Logger.of(self.logger)]
        if self.tensorboard is not None:
            found.append(Logger("tensorboard", str(self.tensorboard), "--tensorboard"))
        return tuple(found)

    @property
    def stored_as(self) -> str:
        """How values are kept: what was said, or float32."""
        return self.storage or PLAIN_STORAGE

    @property
    def init_file(self) -> Path | None:
        """The artefact whose images the set starts from, where one is named."""
        named = self.init is not None and str(self.init).endswith(".safetensors")
        return Path(str(self.init)) if named else None

    def _check_types(self) -> None:
        """Refuse what the command line could not have said; take a path given as text."""
        if isinstance(self.settings, str):
            object.__setattr__(self, "settings", (self.settings,))
        settle_kinds(self)
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            if name == "init" and self.init_file is not None:
                continue
            if value is None or value in allowed:
                continue
            if name == "init":
                # others' selectors; looking for them needs torch
                from attar.coresets import SELECTORS

                allowed = (*allowed, *(own for own in SELECTORS if own not in allowed))
            if value not in allowed:
                raise unknown(f"value of {option_of(name)}", str(value), allowed)
        check_storage(self.storage)
        if isinstance(self.rank, str):
            mean_rank(self.rank)
        self._check_parts()
        if not (self.network is None or isinstance(self.network, str) or callable(self.network)):
            raise BadRequest(
                f"network={self.network!r}: a name such as 'convnet3', an nn.Module, or a "
                "function that returns a new one"
            )

    def _check_parts(self) -> None:
        """Refuse a method, an objective or a form that is neither a name nor such a value."""
        if not isinstance(self.method, str | None):
            method_of(self.method)
        for name in ("objective", "form"):
            value = getattr(self, name)
            if isinstance(value, str | None):
                continue
            from attar.objectives import Objective
            from attar.synthetic import Parametrization

            if not isinstance(value, Objective if name == "objective" else Parametrization):
                raise BadRequest(f"{name}={value!r}: a name, or an attar {name}, is needed")

    def _check_counts(self) -> None:
        """Refuse numbers below one."""
        for name in ("threads", "workers"):
            if (count := getattr(self, name)) is not None and count < 1:
                raise BadRequest(f"--{name} {count}: at least 1 is needed")
        if self.ray is not None and self.workers == 1:
            raise BadRequest(
                f"--ray {self.ray}: say with --workers how many of the cluster share the classes"
            )
        if self.validations < 1:
            raise BadRequest(
                f"--validations {self.validations}: at least 1; --validation 0 for none"
            )

    def _check_length(self) -> None:
        """Refuse a length that no run can have."""
        if self.iterations is not None and self.iterations < 0:
            raise BadRequest(f"--iterations {self.iterations}: 0 or more")
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            raise BadRequest(f"--minutes {self.minutes:g}: more than 0 is needed")
        if self.iterations is not None and self.minutes is not None:
            raise BadRequest("give --iterations or --minutes, not both")
        if self.minutes is not None and self.schedule not in (None, "constant"):
            raise BadRequest(
                f"--schedule {self.schedule}: falls over a length given by --iterations; with "
                "--minutes use --average"
            )

    def budget(self) -> Budget:
        """Return the allowance; one image per class's memory where nothing is said."""
        given, count = self.max_bytes, self.synthetic_per_class
        size = parse_bytes(given) if isinstance(given, str) else given
        ipc = self.ipc
        if ipc is None and size is None and count is None:
            ipc = 1
        return Budget(ipc, size, count, self.count or ("all" if size is not None else "paper"))

    @property
    def chosen(self) -> Method:
        """The method.

        Raises:
            BadRequest: there is none of this name.
        """
        return method_of(self.method or self._usual_method)

    @property
    def _usual_method(self) -> str:
        """What is used where no method is named: the papers' where memory is counted as theirs."""
        return "lodm" if self.max_bytes is None else "best"

    def given_settings(self) -> dict[str, Any]:
        """Return the settings of the method's parts as given, by name: texts, or values."""
        return read_settings(self.settings)

    def kept_steps(self) -> int | tuple[int, ...] | None:
        """Return how many iterates are kept on the way, or which steps; None for none."""
        given = self.snapshots
        if isinstance(given, str):
            try:
                parts = [int(part) for part in given.split(",") if part.strip()]
            except ValueError:
                parts = []
            given = tuple(parts) if "," in given else next(iter(parts), 0)
        if given is None:
            return None
        if type(given) is int and given >= 1:
            return given
        if (
            isinstance(given, tuple | list)
            and given
            and all(type(step) is int and step >= 0 for step in given)
        ):
            return tuple(sorted(set(given)))
        raise BadRequest(
            f"--snapshots {self.snapshots}: a number of iterates from 1, such as 10, or steps from "
            "0 with commas between, such as 0,100,1000"
        )

    def call(self, **reading: object) -> str:
        """Return the Python call that asks for the same result of data given as objects.

        Args:
            **reading: how the data were read, such as ``resize``; None where nothing was said.
        """
        return self._call("data", reading)

    def _call(self, data: str, reading: Mapping[str, object]) -> str:
        said = {name: value for name, value in reading.items() if value is not None}
        changed = self._changed()
        if settings := self.given_settings():
            changed["settings"] = settings
        options = [
            f"{name}={described(value) if name in _NAMED else repr(value)}"
            for name, value in (changed | said).items()
        ]
        return f"attar.condense({', '.join([data, *options])})"

    def _changed(self) -> dict[str, object]:
        """Return the options that bear on the result and are not left at their default."""
        skipped = {
            "output",
            "resume",
            "overwrite",
            "checkpoint_seconds",
            "tensorboard",
            "logger",
            "snapshots",
            "workers",
            "ray",
            "settings",
        }
        values = {name: getattr(self, name) for name in type(self).__dataclass_fields__}
        defaults = type(self).__dataclass_fields__
        return {
            name: value
            for name, value in values.items()
            if name not in skipped
            and value != defaults[name].default
            # what is so by default need not be said
            and (name, value) not in (("storage", PLAIN_STORAGE), ("method", self._usual_method))
        }

    def gives(self, name: str) -> bool:
        """Whether an option was given."""
        return getattr(self, name) != type(self).__dataclass_fields__[name].default

    def command(self, source: str, **reading: object) -> str:
        """Return the command line that asks for the same result.

        For a module as the network, or a method, an objective or a form given as a value, which a
        command line cannot name, it is a Python call.

        Args:
            source: of the images.
            **reading: how it was read, by the names in `BEARING` and as the command line takes
                them; None where nothing was said.
        """
        if not all(isinstance(getattr(self, name), str | None) for name in _NAMED):
            return self._call(repr(source), reading)
        settings = settings_as_texts(self.settings)
        options = {**self._changed(), **reading, "settings": settings}
        output = self.output.name if self.output else "OUT.safetensors"
        return command_line(["attar", "condense", source], options, output)
