"""Commands run by `forked`, from a test."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


class Server:
    """Runs one command after the other."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(
        self, words: Sequence[str], said: Path, folder: Path | None = None, *attack: float
    ) -> dict[str, Any]:
        """Run one command to its end, or until a signal ends it.

        Args:
            words: of the command.
            said: the file for what it prints.
            folder: to run in.
            *attack: a signal, and the seconds after which it is sent.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        asked = [list(words), str(said), str(folder or Path.cwd()), *attack]
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        found = json.loads(self._process.stdout.readline())
        return found | {"said": said.read_text(errors="replace")}


@contextlib.contextmanager
def serving(*modules: str) -> Iterator[Server]:
    """Start a server that has read some modules."""
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("forked.py")), *modules],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield Server(process)
        assert process.stdin is not None
        process.stdin.close()
