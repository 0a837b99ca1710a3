"""Losses and accuracies for TensorBoard, Weights & Biases and Trackio, behind one option.

What leaves the machine with a tracked run are numbers, and settings without its folders.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from attar.errors import BadRequest, unknown
from attar.unplaced import unplaced

# what each keeps runs in where nothing is said: a folder, or a project
_PLACES = {"tensorboard": "runs", "wandb": "attar", "trackio": "attar"}


class Tracker(Protocol):
    """A run in somebody's tool.

    Attributes:
        option: that names the tool.
    """

    option: str

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Note values of a step."""

    def close(self) -> None:
        """Hand everything over."""


Begin = Callable[[int], Tracker]
"""Begins a tracker for a run that goes on from a step."""


@dataclass(frozen=True)
class Logger:
    """A tool that a run is tracked with.

    Args:
        name: of the tool.
        place: a folder for TensorBoard, a project for the others.
        option: that names it.
    """

    name: str
    place: str
    option: str

    @classmethod
    def of(cls, given: str) -> Logger:
        """Return what ``--logger NAME[:PLACE]`` names.

        Raises:
            BadRequest: there is none of this name.
        """
        name, _, place = given.partition(":")
        if name not in _PLACES:
            raise unknown("value of --logger", name, _PLACES)
        place = place or _PLACES[name]
        if name == "tensorboard":
            # which a shell does not do after a colon
            place = os.path.expanduser(place)  # noqa: PTH111 - unknown users stay as they are
        return cls(name, place, f"--logger {given}")

    def check(self) -> None:
        """Refuse a tool that is not installed, and a folder that cannot be made or written to.

        Raises:
            BadRequest: saying what to install.
        """
        if importlib.util.find_spec(self.name) is None:
            raise BadRequest(f"{self.option} needs the extra: pip install 'attar[{self.name}]'")
        if self.name == "tensorboard":
            folder = Path(self.place)
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass
            except OSError as error:
                raise BadRequest(
                    f"{self.option}: {folder} cannot be written to ({error.strerror}); choose "
                    "another folder"
                ) from error

    def begins(self, run: str, settings: Mapping[str, Any]) -> Begin:
        """Return what begins a tracker.

        Args:
            run: its name.
            settings: told beside the numbers; folders of this machine are left out.
        """
        told = dict(unplaced(settings))
        if self.name == "tensorboard":
            return lambda step: _TensorBoard(self, step)
        if self.name == "wandb":
            return lambda step: _Wandb(self, run, told)
        return lambda step: _Trackio(self, run, told, resume="allow" if step else "never")


class _TensorBoard:
    def __init__(self, logger: Logger, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.option = logger.option
        # events of steps that a resumed run repeats are taken back
        self._writer = SummaryWriter(logger.place, purge_step=step + 1)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _Wandb:
    def __init__(self, logger: Logger, run: str, settings: dict[str, Any]) -> None:
        import wandb  # pyright: ignore[reportMissingImports]

        self.option = logger.option
        # left alone, it sends the machine's name, the program with its folder and arguments, the
        # code, what is printed, and how busy the machine is
        quiet = wandb.Settings(
            console="off",
            disable_code=True,
            disable_git=True,
            host="none",
            silent=True,
            x_disable_machine_info=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_save_requirements=False,
        )
        try:
            self._run = wandb.init(
                project=logger.place,
                name=run,
                # what --resume continues lies beside what went before
                group=run,
                config=settings,
                reinit="create_new",
                settings=quiet,
            )
        except wandb.Error as error:
            raise BadRequest(
                f"{logger.option}: {str(error).rstrip('.')}; WANDB_MODE=offline in the environment "
                "keeps the run on this machine"
            ) from error

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


class _Trackio:
    def __init__(self, logger: Logger, run: str, settings: dict[str, Any], resume: str) -> None:
        import trackio  # pyright: ignore[reportMissingImports]

        self.option = logger.option
        with _off_output():
            self._run = trackio.init(
                project=logger.place, name=run, config=settings, resume=resume, embed=False
            )

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        import trackio  # pyright: ignore[reportMissingImports]

        with _off_output():
            trackio.finish()


@contextlib.contextmanager
def _off_output() -> Iterator[None]:
    """Have what is printed go to standard error: standard output is for the result."""
    with contextlib.redirect_stdout(sys.stderr):
        yield
