"""A process that trains experts until all are there, and tells of it in lines of JSON.

It ends with its standard input, so that none is left behind when the run is killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

from attar.errors import AttarError
from attar.experts.telling import ExpertListener
from attar.faults import in_words

# as a program that was interrupted ends
_INTERRUPTED = 130


class _Lines(ExpertListener):
    """Writes lines for the process that started this one."""

    def __init__(self) -> None:
        self._file = os.fdopen(os.dup(1), "w", encoding="utf-8")

    def passed(self, experts: Sequence[int], epochs: int) -> None:
        """Tell of an epoch."""
        self.say({"passed": [list(experts), epochs]})

    def made(self, expert: int, accuracy: float) -> None:
        """Tell of an expert."""
        self.say({"made": [expert, accuracy]})

    def say(self, message: dict[str, Any]) -> None:
        """Write a line."""
        self._file.write(json.dumps(message) + "\n")
        self._file.flush()


def main() -> int:
    """Train what the file with the given handle says; return the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    threading.Thread(target=_end_with_input, daemon=True).start()
    lines = _Lines()
    # what libraries print is no message
    os.dup2(2, 1)
    try:
        from attar.memory import keep_memory

        keep_memory()
        import torch

        from attar.experts.making import train_here

        # written by the process that started this one, and nobody else can have
        work = torch.load(f"/dev/fd/{sys.argv[1]}", mmap=True, weights_only=False)
        train_here(work, lines)
    except AttarError as error:
        lines.say({"failed": str(error), "status": error.exit_status})
        return error.exit_status
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception as error:
        said = in_words(error)
        if said is None:
            raise
        lines.say({"failed": said, "status": 1})
        return 1
    return 0


def _end_with_input() -> None:
    """End the process with its standard input, even in the midst of work."""
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
