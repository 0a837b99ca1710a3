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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from attar.faults import in_words


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
        answers.write(json.dumps(_answer(given)) + "\n")
        answers.flush()


def _answer(given: dict[str, Any]) -> dict[str, Any]:
    """Do an order, and return what came of it."""
    try:
        with _output_in(Path(given["log"])):
            from attar.benching.work import Order, perform
            from attar.memory import keep_memory

            keep_memory()
            return perform(Order.from_dict(given["order"])).as_dict()
    except OSError as error:  # of the log, on a full disk
        from attar.benching.work import Order, Outcome

        key = Order.from_dict(given["order"]).work.key
        return Outcome(key, "failed", 0.0, in_words(error) or str(error)).as_dict()


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
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        for descriptor, one in zip((1, 2), kept, strict=True):
            os.dup2(one, descriptor)
            os.close(one)
        os.close(file)


if __name__ == "__main__":
    main()
