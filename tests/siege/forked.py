"""Runs commands of Attar one after the other, each in a forked process that is watched.

A line on standard input is a list of words, a file for what the command prints, and optionally the
folder to run in and a signal with the seconds after which it is sent; a line on standard output is
how it ended. One process that has read PyTorch, and the modules that its arguments name, serves for
all, which takes a tenth of a second a command in place of seconds.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

# where a command is ended, so that what is found does not take the machine with it
_BYTES, _SECONDS = 3 * 2**30, 60


def serve() -> None:
    """Run the commands that standard input asks for."""
    # what every command needs, so that each child has it
    usual = (
        "attar.cli.commands",
        "attar.importing.importer",
        "attar.condensing.condense",
        "msgpack",
    )
    for name in (*usual, *sys.argv[1:]):
        importlib.import_module(name)
    from PIL import Image

    from attar.cli import run

    Image.init()
    _say("ready")
    for line in sys.stdin:
        words, said, folder, *attack = json.loads(line)
        child = os.fork()
        if child == 0:
            os.chdir(folder)
            _become(run, words, Path(said))
        _say(json.dumps(_watched(child, *attack)))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _become(run: Any, words: list[str], said: Path) -> None:
    """Run one command in place of this process."""
    place = os.open(said, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(place, number)
    status = 99
    try:
        status = run(words)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 98
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _watched(child: int, number: int = 0, after: float = 0.0) -> dict[str, Any]:
    """Return how a process ended, and what it took at most.

    Args:
        child: the process.
        number: a signal to be sent once; 0 for none.
        after: seconds after which it is sent.
    """
    began, ended, sent = time.monotonic(), "", not number
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        seconds = time.monotonic() - began
        if done:
            break
        if not sent and seconds > after:
            sent, ended = True, "signal"
            os.kill(child, number)
        if seconds > _SECONDS or _resident(child) > _BYTES:
            ended = "time" if seconds > _SECONDS else "memory"
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)
    return {
        "status": os.waitstatus_to_exitcode(status),
        "ended": ended,
        "wall": seconds,
        "seconds": usage.ru_utime + usage.ru_stime,
        "bytes": usage.ru_maxrss * 1024,
    }


def _resident(child: int) -> int:
    try:
        return int(Path(f"/proc/{child}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


if __name__ == "__main__":
    serve()
