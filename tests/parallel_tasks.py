"""What tasks of test_parallel.py do; workers import it, so it imports next to nothing."""

import os
import signal
import sys
import time
from typing import Any

from attar.errors import BadRequest
from attar.parallel import Tell


def summed(values: list[int], tell: Tell) -> int:
    sys.stdout.write("summing\n")
    tell(["of", len(values)])
    return sum(values)


def refused(tell: Tell) -> None:
    raise BadRequest("--lr 7: too much")


def broken(tell: Tell) -> None:
    raise ValueError("unforeseen")


def killed(tell: Tell) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def patient(tell: Tell) -> None:
    tell("begun")
    time.sleep(600)


def shared_sum(values: Any, tell: Tell) -> float:
    return float(values.sum())


def process(tell: Tell) -> int:
    return os.getpid()
