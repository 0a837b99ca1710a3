"""A value that several processes of this machine read, in memory once."""

from __future__ import annotations

import functools
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attar.errors import RunFailed


@dataclass(frozen=True)
class Shared:
    """Stands for such a value among the arguments of a task.

    Args:
        handle: of a file that holds it, in this process and in those that do tasks.
    """

    handle: int


def hand_on(value: Any) -> Shared:
    """Return what stands for a value that is written into a file without a name.

    It is mapped by every process that takes it, so that its tensors are in memory once, and it is
    gone with the last of them.

    Raises:
        RunFailed: there is no room for temporary files.
    """
    import torch

    handle, name = tempfile.mkstemp(prefix="attar-")
    try:
        with open(name, "wb") as file:  # noqa: PTH123
            torch.save(value, file)
    except OSError as error:
        os.close(handle)
        raise RunFailed(
            f"the images could not be handed on to other processes ({error.strerror or error}); "
            "free some space for temporary files, or leave out --jobs"
        ) from error
    finally:
        Path(name).unlink()
    return Shared(handle)


def taken(argument: Any) -> Any:
    """Return an argument of a task, with the value for what stands for one."""
    return _read(argument.handle) if isinstance(argument, Shared) else argument


@functools.cache
def _read(handle: int) -> Any:
    import torch

    # written by the process that started this one, and nobody else can have
    return torch.load(f"/dev/fd/{handle}", mmap=True, weights_only=False)
