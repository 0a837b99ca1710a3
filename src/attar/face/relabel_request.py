"""What a user can ask of `attar relabel`; free of torch, so that help appears at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from attar.budget import parse_bytes
from attar.errors import BadRequest, unknown
from attar.files import check_writable
from attar.kinds import settle_kinds
from attar.options import BEARING, Compiling, Whole, check_kept, option
from attar.renaming import fields
from attar.text import command_line
from attar.wording import KEYWORDS

ITERATIONS = 500
# what a repetition of the command does not need
_OF_FILES = ("output", "resume", "overwrite", "checkpoint_seconds", "threads")


@fields(**KEYWORDS)
@dataclass(frozen=True)
class RelabelRequest:
    """The options of one relabelling.

    Raises:
        BadRequest: an option out of range, or an output that cannot be written.
    """

    by: Annotated[Literal["networks", "regression"], option("{networks,regression}", kind=str)] = (
        "networks"
    )
    """Where labels come from: what networks trained on the real images say of the set's images, or
    a regression as FRePo's, with images that stay."""
    labels: Annotated[str, option("STORAGE", kind=str)] = "float16"
    """How labels are kept: float32, float16, int8, int4, top:keep=5 (the five largest), …"""
    max_bytes: Annotated[str | int | None, option("SIZE", name="bytes")] = None
    """The most that the whole set may take with its labels, such as 120kB."""
    network: Annotated[Any, option("NAME", kind=str)] = None
    """What is trained; left out: the papers' ConvNet for this size, half as wide, or FRePo's."""
    teachers: int = 1
    """How many networks; labels are the mean of what they say."""
    epochs: Whole = None
    """Of their training; 8 where left out."""
    iterations: Whole = None
    """Updates of the labels by regression; 500 where left out."""
    seed: int = 0
    """Everything random follows from it."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], option("{auto,float32,bfloat16}", kind=str)
    ] = "auto"
    """Precision of the networks."""
    torch_compile: Compiling = "auto"
    """Compile the networks; auto: where it pays."""
    threads: Whole = None
    """CPU threads. Left out, on the command line: one for every core that is free, or as
    OMP_NUM_THREADS says; from Python: as the process has set."""
    output: Annotated[Path | None, option("OUT.safetensors", "-o")] = None
    """The artefact to write, when all is done."""
    resume: bool = False
    """Continue from the checkpoint beside the output, if there is one."""
    overwrite: bool = False
    """Replace an existing output or checkpoint."""
    checkpoint_seconds: float = 60.0
    """The longest time between two checkpoints, but for an epoch of a network."""

    def __post_init__(self) -> None:
        settle_kinds(self)
        if self.teachers < 1:
            raise BadRequest(f"--teachers {self.teachers}: at least one network is needed")
        if self.by not in ("networks", "regression"):
            raise unknown("value of --by", self.by, ("networks", "regression"))
        if self.iterations is not None and self.iterations < 1:
            raise BadRequest(f"--iterations {self.iterations}: at least one update is needed")
        regression = self.by == "regression"
        if self.iterations is not None and not regression:
            raise BadRequest(
                f"--iterations {self.iterations}: of --by regression; give --epochs for networks"
            )
        if regression and (self.epochs is not None or self.teachers != 1):
            raise BadRequest("--epochs and --teachers are of --by networks; give --iterations")
        if self.epochs is not None and self.epochs < 1:
            raise BadRequest(f"--epochs {self.epochs}: at least one pass is needed")
        check_kept(self)
        if self.most is not None and self.most < 1:
            raise BadRequest(f"--bytes {self.max_bytes}: at least one byte is needed")

    @property
    def most(self) -> int | None:
        """The most bytes that the whole set may take; None for no limit."""
        given = self.max_bytes
        return parse_bytes(given) if isinstance(given, str) else given

    @property
    def steps(self) -> int:
        """Updates of the labels by regression."""
        return ITERATIONS if self.iterations is None else self.iterations

    def check_output(self, source: Path | None) -> None:
        """Refuse an output that names no artefact, cannot be written, or is what is read."""
        path = self.output
        if path is None:
            return
        if path.suffix != ".safetensors":
            raise BadRequest(f"-o {path}: the name must end in .safetensors")
        # before anything is read; what there is beside it is looked at once it is locked
        check_writable(path)
        if source is not None and source.exists() and path.exists() and path.samefile(source):
            raise BadRequest(f"-o {path}: that is the artefact to be relabelled; choose another")

    def command(self, source: str, data: str, reading: Mapping[str, Any]) -> str:
        """Return the command line that relabels ``source`` in the same way."""
        options: dict[str, object] = {"data": data}
        for name, item in type(self).__dataclass_fields__.items():
            value = getattr(self, name)
            if name not in _OF_FILES and value != item.default:
                options[name] = value
        plain = (str, int, float)
        options |= {n: reading[n] for n in BEARING if isinstance(reading.get(n), plain)}
        output = "OUT.safetensors" if self.output is None else self.output.name
        return command_line(["attar", "relabel", source], options, output)
