"""Being asked to stop: by Ctrl-C, or by SIGTERM, which does the same.

What has something to keep lets the first request end its work well and the second one interrupt
it at once; everything else is interrupted by the first.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt in the block, as Ctrl-C does.

    A process with a handler of its own keeps it, and threads other than the main one see no
    signals.
    """
    if not _in_main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def listening(stop: threading.Event, told: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Take the first Ctrl-C or SIGTERM in the block as a request; the second interrupts at once.

    Args:
        stop: set by the request.
        told: called at that moment, inside a signal handler: between any two lines of Python.
    """
    before = _taken() if _in_main_thread() else {}

    def ask(number: int, frame: FrameType | None) -> None:
        give_back()
        stop.set()
        told()

    def give_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, ask)
    try:
        yield
    finally:
        give_back()


def _taken() -> dict[signal.Signals, signal.Handlers | Callable[..., object] | int]:
    """Return the handlers of the signals to be taken.

    A job started in the background ignores Ctrl-C, which is meant for others; a program that
    handles SIGTERM itself goes on doing so.
    """
    found = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(number)
        usual = handler in (signal.SIG_DFL, signal.default_int_handler)
        if usual or (number == signal.SIGINT and handler not in (None, signal.SIG_IGN)):
            found[number] = handler
    return found


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
