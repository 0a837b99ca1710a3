"""A process that does one task after another, as the process says that started it.

It ends with that process, so that none is left behind when the run is killed.
"""

from __future__ import annotations

import functools
import os
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from attar.memory import keep_memory
from attar.parallel.sharing import taken
from attar.parallel.task import Task, Told, attempt


def main() -> None:
    """Answer every task that comes by the connection whose handle is the one argument."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    # before torch is imported
    keep_memory()
    line = Connection(int(sys.argv[1]))
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(line, tasks), daemon=True).start()
    while True:
        # imports what the task asks for
        task: Task = pickle.loads(tasks.get())
        line.send(attempt(task.key, functools.partial(_do, task, line)))


def _do(task: Task, line: Connection) -> Any:
    with _output_in(task.log):
        return task.function(*map(taken, task.arguments), lambda what: line.send(Told(what)))


def _listen(line: Connection, tasks: queue.SimpleQueue[bytes]) -> None:
    """Pass tasks on; end the process with the one that gives them, even in the midst of work.

    What is in progress is lost up to its last checkpoint; files are written whole.
    """
    with suppress(EOFError, OSError):
        while True:
            tasks.put(line.recv_bytes())
    os._exit(0)


@contextmanager
def _output_in(path: Path | None) -> Iterator[None]:
    """Add everything that is printed, by libraries and their children too, to a file if given."""
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [os.dup(1), os.dup(2)]
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        for descriptor in (1, 2):
            os.dup2(file, descriptor)
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        for descriptor, one in zip((1, 2), kept, strict=True):
            os.dup2(one, descriptor)
            os.close(one)
        os.close(file)


if __name__ == "__main__":
    main()
