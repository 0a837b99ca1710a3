"""What is told of a run, for the page that shows it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from attar.artefact.artefact import Artefact
from attar.budget import format_bytes
from attar.condensing.plan import Plan
from attar.condensing.telling import Estimate, Start
from attar.errors import AttarError
from attar.report.single import report_page
from attar.text import duration
from attar.watching.page import SENT, live_page
from attar.watching.server import Answer, Server

# a page counts as open for so long after it asked, in seconds
_OPEN = 10.0
# reports are made this often at most, and for a twentieth of the run's time at most
_EVERY = 2.0
_SHARE = 1 / 20
# of the losses, so many are kept; a longer run keeps every second, fourth, … one
_MOST = 2000
# how long the end waits for an open page to take the final report
_PATIENCE = 5.0


class Watch(Start):
    """Serves one page on this machine that shows a run while it goes on.

    The page is the report of the set as it is: it is made anew while somebody looks, and at the
    end it is the report of the finished set.

    Args:
        title: of the page until the report has one.
        port: to listen on; 0 for any that is free.
        log: what an earlier part of the same run noted, as `read_log` returns it.

    Raises:
        BadRequest: the port cannot be listened on.
    """

    def __init__(self, title: str, port: int = 0, log: Sequence[dict[str, Any]] = ()) -> None:
        self._title = title
        self._lock = threading.Lock()
        self._losses = [row for row in log if "loss" in row]
        self._validations = [row for row in log if "validation" in row]
        self._every = 1
        self._status, self._share, self._numbers = "reading", 0.0, dict[str, str]()
        self._version, self._report = 0, ""
        self._looked = self._made = self._cost = 0.0
        self._size = ""
        self._finished = False
        self._seen = threading.Event()
        self._first: tuple[float, float] | None = None
        pages = {
            "": self._page,
            "state": self._now,
            "report": self._shown,
            "seen": self._taken,
        }
        self._server = Server(pages, port, SENT)

    @property
    def address(self) -> str:
        """Where the page is; it is no secret to this machine's users that see the command run."""
        return self._server.address

    def reading(self, what: str, done: int, total: int) -> None:
        """Say what is read."""
        self._say(f"{what}: {done:,} of {total:,}")

    def planned(self, plan: Plan, step: int) -> None:
        """Keep of the log what this run still stands on."""
        self._losses = [row for row in self._losses if row["step"] <= step]
        self._validations = [row for row in self._validations if row["step"] <= step]
        self._say("measuring")

    def phase(self, name: str) -> None:
        """Say what goes on."""
        self._say(name)

    def stopping(self, after: str) -> None:
        """Say that the run was asked to stop."""
        # inside a signal handler: the lock may be held by the code that it interrupts
        self._status = f"stopping after {after}" if after else "stopping"

    def started(self, plan: Plan, estimate: Estimate, step: int) -> None:
        """Say that updates begin."""
        self._say("condensing")

    def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
        """Note the loss, and how far the run is."""
        if step % self._every == 0:
            self._losses.append({"step": step, "loss": loss, "seconds": seconds})
        if len(self._losses) > _MOST:
            self._losses, self._every = self._losses[::2], 2 * self._every
        self._first = self._first or (seconds, share)
        with self._lock:
            self._status, self._share = "condensing", share
            self._numbers = self._counted(step, loss, share, seconds)

    def _counted(self, step: int, loss: float, share: float, seconds: float) -> dict[str, str]:
        assert self._first is not None
        numbers = {"step": f"{step:,}", "loss": f"{loss:.4g}", "time so far": duration(seconds)}
        gone = share - self._first[1]
        if gone > 0 and share < 1:
            left = (seconds - self._first[0]) / gone * (1 - share)
            numbers["time left"] = duration(left)
        return numbers

    def validated(self, step: int, accuracy: float) -> None:
        """Note the accuracy on held-out images."""
        self._validations.append({"step": step, "validation": accuracy})

    def formed(self, step: int, artefact: Callable[[], Artefact]) -> None:
        """Make the report of the set as it is, where somebody looks and it is time."""
        super().formed(step, artefact)
        now = time.monotonic()
        pause = max(_EVERY, self._cost / _SHARE)
        if now - self._looked > _OPEN or (self._version and now - self._made < pause):
            return
        try:
            self._write(artefact())
        except AttarError:
            # values that are no numbers: the run itself says so
            return
        self._made = time.monotonic()
        self._cost = self._made - now

    def finished(self, artefact: Artefact) -> None:
        """Show the report of the finished set, and wait a moment for an open page to take it."""
        self._write(artefact)
        with self._lock:
            self._status, self._share, self._finished = "finished", 1.0, True
        if time.monotonic() - self._looked < _OPEN:
            self._seen.wait(_PATIENCE)

    def close(self) -> None:
        """Answer no longer."""
        self._server.close()

    def _say(self, status: str) -> None:
        with self._lock:
            self._status = status

    def _write(self, artefact: Artefact) -> None:
        log = sorted((*self._losses, *self._validations), key=lambda row: row["step"])
        text = report_page(artefact, rows=[], log=log, start=self.artefact)
        self._size = format_bytes(artefact.totals.all)
        with self._lock:
            self._report, self._version = text, self._version + 1

    def _page(self) -> Answer:
        self._looked = time.monotonic()
        return Answer("text/html; charset=utf-8", live_page(self._title).encode())

    def _now(self) -> Answer:
        self._looked = time.monotonic()
        with self._lock:
            numbers = dict(self._numbers)
            if self._finished:
                numbers.pop("time left", None)
            if self._validations:
                numbers["held-out accuracy"] = f"{self._validations[-1]['validation']:.1f} %"
            if self._size:
                numbers["size"] = self._size
            state = {
                "title": f"{self._share:.0%} · {self._title}",
                "status": self._status,
                "share": self._share,
                "numbers": numbers,
                "version": self._version,
                "finished": self._finished,
            }
        return Answer("application/json", json.dumps(state).encode())

    def _shown(self) -> Answer:
        with self._lock:
            return Answer("text/html; charset=utf-8", self._report.encode())

    def _taken(self) -> Answer:
        self._seen.set()
        return Answer("text/plain", b"")
