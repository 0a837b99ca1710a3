"""What is done elsewhere, how it ends, and the doing itself."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attar.errors import AttarError, BadRequest, RunFailed
from attar.faults import in_words

# says something of a task in progress to whoever asked for it
Tell = Callable[[Any], None]


@dataclass(frozen=True)
class Task:
    """A call to be done somewhere.

    Args:
        key: what it is called among those in progress.
        function: of a module, so that another process finds it; called with ``arguments`` and a
            `Tell`.
        arguments: values that can be pickled, or what `Executor.share` returned.
        log: file that everything printed meanwhile is added to; None where nothing asks for it.
    """

    key: str
    function: Callable[..., Any]
    arguments: Sequence[Any] = ()
    log: Path | None = None


@dataclass(frozen=True)
class Ended:
    """How a task ended: it returned, it failed, its process was lost, or it was stopped.

    Args:
        key: of the task.
        value: what the function returned, if it did.
        failure: the message of the error that it raised; empty where it raised none.
        status: exit status of that error.
        lost: what became of the process that did it, to be read after "its" or "a"; empty
            where nothing did.
        stopped: whether it was asked to end, and did.
    """

    key: str
    value: Any = None
    failure: str = ""
    status: int = 0
    lost: str = ""
    stopped: bool = False

    @property
    def not_found(self) -> bool:
        """Whether the other process found no module or name that it was given."""
        return self.failure.startswith(("AttributeError: Can't get", "ModuleNotFoundError"))

    def raise_failure(self) -> None:
        """Raise the error that the function raised, where it did.

        Raises:
            BadRequest: the request cannot be carried out.
            RunFailed: anything else.
        """
        if self.failure:
            raise (BadRequest if self.status == BadRequest.exit_status else RunFailed)(self.failure)


@dataclass(frozen=True)
class Told:
    """Something that a task told of itself, on its way between processes."""

    what: Any


def attempt(key: str, call: Callable[[], Any]) -> Ended:
    """Do the call of a task, and return how it ended."""
    try:
        return Ended(key, call())
    except KeyboardInterrupt:
        return Ended(key, stopped=True)
    except AttarError as error:
        return Ended(key, failure=error.text, status=error.exit_status)
    except Exception as error:
        words = in_words(error)
        if words is None:
            sys.stderr.write(traceback.format_exc())
        return Ended(key, failure=words or f"{type(error).__name__}: {error}", status=1)
