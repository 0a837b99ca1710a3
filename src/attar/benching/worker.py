"""A process that does one piece of work after another, as lines on its standard input say.

It ends with its standard input, so that none is left behind when the suite is killed.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def main() -> None:
    """Answer every order with one line on standard output; what is printed goes to its log."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    orders: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    while True:
        line = orders.get()
        given = json.loads(line)
        with _output_in(Path(given["log"])):
            from attar.benching.work import Order, perform
            from attar.memory import keep_memory

            keep_memory()
            outcome = perform(Order.from_dict(given["order"]))
        answers.write(json.dumps(outcome.as_dict()) + "\n")
        answers.flush()


def _listen(orders: queue.Queue[str]) -> None:
    """Pass lines on; end the process with the last one, even in the midst of work.

    What is in progress is lost up to its last checkpoint; files are written whole.
    """
    for line in sys.stdin:
        orders.put(line)
    os._exit(0)


@contextmanager
def _output_in(path: Path) -> Iterator[None]:
    """Send everything that is printed, by libraries and their children too, into a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [os.dup(1), os.dup(2)]
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        for descriptor in (1, 2):
            os.dup2(file, descriptor)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, one in zip((1, 2), kept, strict=True):
            os.dup2(one, descriptor)
            os.close(one)
        os.close(file)


if __name__ == "__main__":
    main()
