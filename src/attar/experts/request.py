"""What a user can ask of `attar experts`; free of torch, so that help appears at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from attar.errors import BadRequest, unknown
from attar.kinds import settle_kinds
from attar.options import Compiling, Name, Whole, described, option
from attar.renaming import fields
from attar.text import command_line

# refused here and not by the parser, so that a near name is told
_CHOICES = {
    "storage": ("float32", "float16", "bfloat16"),
    "zca": ("none", "mtt", "frepo", "rtp", "kip"),
    "precision": ("auto", "float32", "bfloat16"),
    "torch_compile": ("auto", "on", "off"),
}
_FROM_ONE = ("count", "epochs", "batch", "together", "jobs", "chunk")
# what an expert does not depend on, but for the last bits of rounding
_NOT_BEARING = (
    "output",
    "overwrite",
    "checkpoint_seconds",
    "together",
    "jobs",
    "ray",
    "device",
    "torch_compile",
    "chunk",
)


@fields(compile="torch_compile")
@dataclass(frozen=True)
class ExpertsRequest:
    """The options of training experts. The defaults are those of the trajectory-matching authors.

    Source: Cazenavette et al., Dataset Distillation by Matching Training Trajectories, 2022, and
    their code: plain SGD at a fixed learning rate, one DSA operation for each batch.

    Raises:
        BadRequest: a value that no training can have.
    """

    count: int = 100
    """Experts that the folder has in the end. May be raised later; those there are kept."""
    epochs: int = 50
    """Passes over the training images; parameters are kept at the start and after each."""
    network: Annotated[Any, option("NAME", kind=str)] = None
    """Network to train, such as convnet3; 'attar networks' lists them. Left out: the papers'
    ConvNet for the size of the images."""
    lr: float = 0.01
    """Learning rate of SGD, the same from first to last."""
    momentum: float = 0.0
    """Momentum of SGD, from 0 to below 1."""
    weight_decay: float = 0.0
    """Weight decay of SGD, 0 or more."""
    batch: int = 256
    """Images per update."""
    augment: Name = None
    """Augmentation: operations joined by _, of which each batch gets one, or none. Left out:
    color_crop_cutout_flip_scale_rotate, without flip for digits."""
    zca: Annotated[
        Literal["none", "mtt", "frepo", "rtp", "kip"], option("{none,mtt,frepo,rtp,kip}", kind=str)
    ] = "none"
    """Form of ZCA whitening; condensing needs the same."""
    storage: Annotated[
        Literal["float32", "float16", "bfloat16"],
        option("{float32,float16,bfloat16}", kind=str),
    ] = "float32"
    """Type of the stored parameters."""
    seed: int = 0
    """Expert i follows from it and i."""
    together: Whole = None
    """Experts that train in one step. Left out: 1 on a CPU, 8 on a GPU."""
    jobs: Whole = None
    """Processes that share the work, each with its share of the cores; with --ray, tasks at
    once. Left out: 1, or as many tasks as the cluster has room for."""
    ray: Annotated[str | None, option("ADDRESS")] = None
    """Train on a Ray cluster, such as auto or ray://host:10001; local starts one on this machine
    (needs the extra 'ray')."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], option("{auto,float32,bfloat16}", kind=str)
    ] = "auto"
    """Precision of the networks; auto: that of the experts already there, else what pays."""
    torch_compile: Compiling = "auto"
    """Compile the networks, where --together is 1; auto: where an expert's training is long
    enough to gain from it."""
    chunk: Whole = None
    """The most images per network call where accuracies are measured."""
    output: Annotated[Path | None, option("DIR", "-o")] = None
    """Folder of the experts. The same command goes on with what is unfinished there."""
    overwrite: bool = False
    """Remove the experts that are there, and train others."""
    checkpoint_seconds: float = 60.0
    """The shortest time between two notes of how far an expert is, from which a run that was
    ended goes on."""

    def __post_init__(self) -> None:
        settle_kinds(self)
        for name in _FROM_ONE:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadRequest(f"--{name} {value}: 1 or more")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise unknown(f"value of --{name}", str(getattr(self, name)), allowed)
        self._check_numbers()
        self._check_network()

    def _check_numbers(self) -> None:
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise BadRequest(f"--lr {self.lr:g}: a positive number is needed")
        if not 0 <= self.momentum < 1:
            raise BadRequest(f"--momentum {self.momentum:g}: from 0 to below 1")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise BadRequest(f"--weight-decay {self.weight_decay:g}: 0 or more")
        if not self.checkpoint_seconds >= 0:
            raise BadRequest(f"--checkpoint-seconds {self.checkpoint_seconds:g}: 0 or more")

    def _check_network(self) -> None:
        network = self.network
        if not (network is None or isinstance(network, str) or callable(network)):
            raise BadRequest(
                f"network={network!r}: a name such as 'convnet3', an nn.Module, or a function "
                "that returns a new one"
            )
        if not isinstance(network, str | None) and (self.ray or (self.jobs or 1) > 1):
            raise BadRequest(
                "a module given from Python is trained in one process; leave out jobs and ray, or "
                "name a network"
            )

    def command(self, source: str, **reading: object) -> str:
        """Return the command line that trains the same experts.

        For a module as the network, which a command line cannot name, it is a Python call.

        Args:
            source: of the images.
            **reading: how it was read: ``resize``, ``classes``, ``per_class`` and
                ``test_share``, where given.
        """
        if not isinstance(self.network, str | None):
            return self.call(repr(source), **reading)
        output = self.output.name if self.output else "DIR"
        return command_line(["attar", "experts", source], self._bearing() | reading, output)

    def call(self, data: str = "data", **reading: object) -> str:
        """Return the Python call that trains the same experts on data given as objects."""
        said: Mapping[str, object] = self._bearing() | reading
        options = [
            f"{name}={described(value) if name == 'network' else repr(value)}"
            for name, value in said.items()
            if value is not None
        ]
        output = repr(self.output.name if self.output else "DIR")
        return f"attar.train_experts({', '.join([data, *options, f'output={output}'])})"

    def _bearing(self) -> dict[str, object]:
        """Return the options that bear on the experts and are not left at their default."""
        return {
            name: getattr(self, name)
            for name, item in type(self).__dataclass_fields__.items()
            if name not in _NOT_BEARING and getattr(self, name) != item.default
        }
