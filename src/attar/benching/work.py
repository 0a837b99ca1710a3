"""One piece of work, done in this process: a set is made, or networks are trained on it."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from attar.artefact.artefact import Artefact
from attar.artefact.loading import load_header
from attar.benching.cells import Making, Measuring, Work
from attar.benching.experts import trained
from attar.benching.folder import Folder
from attar.benching.making import Slimming
from attar.benching.measured import Measured
from attar.benching.notes import plain, read_json, write_json
from attar.benching.teachers import teacher_on_disk
from attar.condensing.condense import carry_out
from attar.condensing.paths import Paths
from attar.condensing.plan import Plan
from attar.condensing.telling import Callback, Estimate
from attar.errors import AttarError, Interrupted
from attar.evaluation.comparison import evaluate
from attar.evaluation.record import digest
from attar.evaluation.telling import EvaluationCallback
from attar.faults import in_words
from attar.parallel import Ended, Tell
from attar.slimming import slimming
from attar.text import counted, printable
from attar.wording import as_keywords

Status = Literal["done", "failed", "stopped"]
# how often a log says how far a run is
_SAID_SECONDS = 30.0


@dataclass(frozen=True)
class Order:
    """A piece of work and where its files go.

    Args:
        work: what to do.
        root: the suite's folder.
        data_dir: where named datasets lie; None for the default.
        checkpoint_seconds: the longest time between two checkpoints.
        name: what its data call themselves; empty where that is not known, and the source tells.
    """

    work: Work
    root: Path
    data_dir: Path | None = None
    checkpoint_seconds: float = 60.0
    name: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a piece of work ended.

    Args:
        key: of the work.
        status: ``done``, ``failed``, or ``stopped`` where it was asked to.
        seconds: it took.
        message: why it failed.
    """

    key: str
    status: Status
    seconds: float
    message: str = ""


def perform(order: Order) -> Outcome:
    """Do a piece of work; whatever goes wrong is told in the log and in the outcome."""
    start = time.perf_counter()
    folder = Folder(order.root)

    def outcome(status: Status, message: str = "") -> Outcome:
        return Outcome(order.work.key, status, time.perf_counter() - start, message)

    _say(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {order.work.words}")
    try:
        with _interruptible():
            if isinstance(order.work, Making):
                _make(order.work, folder, order)
            else:
                _measure(order.work, folder, order)
    except (Interrupted, KeyboardInterrupt) as error:
        _say(f"stopped: {error or 'asked to'}")
        return outcome("stopped")
    except AttarError as error:
        _say(f"failed: {error}")
        return outcome("failed", error.text)
    except Exception as error:
        _say(traceback.format_exc())
        return outcome("failed", in_words(error) or f"{type(error).__name__}: {error}")
    finally:
        _forget_compiled()
    _say("done")
    return outcome("done")


def do_order(order: Order, tell: Tell) -> Outcome:
    """Do a piece of work as a task of an executor."""
    return perform(order)


def outcome_of(ended: Ended) -> Outcome:
    """Return what came of a task that called `do_order`."""
    if ended.value is not None:
        return ended.value
    if ended.stopped:
        return Outcome(ended.key, "stopped", 0.0)
    return Outcome(ended.key, "failed", 0.0, ended.failure or f"its {ended.lost}")


def _say(text: str) -> None:
    sys.stderr.write(f"{printable(text)}\n")
    sys.stderr.flush()


def _make(making: Making, folder: Folder, order: Order) -> None:
    folder.prepare(making)
    files: dict[str, Any] = {
        "output": folder.set_path(making),
        "resume": True,
        "checkpoint_seconds": order.checkpoint_seconds,
    }
    if making.experts is not None:
        files["experts"] = trained(
            making, folder, order.data_dir, order.name or making.source, _say
        )
    if making.teacher is not None:
        files["teacher"] = _teacher(making, folder, order)
    # experts and teacher serve other sets, too, and do not count
    start = time.perf_counter()
    try:
        if isinstance(making, Slimming):
            before = folder.set_path(making.before)
            slimming.carry_out(before, making.slim_request(**files), lambda size: _Lines())
        else:
            request, reading = making.request(**files), making.reading
            carry_out(request, making.source, _Lines(), data_dir=order.data_dir, **reading)
        # a suite never asks for more of the same run: another length is another set
        Paths(folder.set_path(making)).end.unlink(missing_ok=True)
    finally:
        note = read_json(folder.note_path(making)) or {}
        note["seconds"] = note.get("seconds", 0.0) + time.perf_counter() - start
        write_json(folder.note_path(making), note)


def _teacher(work: Making | Measuring, folder: Folder, order: Order) -> str:
    """Return the suite's teacher on disk."""
    return teacher_on_disk(work, folder, order.data_dir, _say)


def _measure(measuring: Measuring, folder: Folder, order: Order) -> None:
    making = measuring.making
    path = folder.set_path(making)
    sha256 = digest(path)
    rows = evaluate(
        path,
        making.source,
        networks=measuring.network,
        repeats=measuring.repeats,
        card=measuring.card,
        **measuring.lengths(load_header(path).card),
        baselines=["whole"] if measuring.whole else False,
        seed=measuring.networks_seed,
        data_dir=order.data_dir,
        callback=_Accuracies(),
        teacher=None if measuring.teacher is None else _teacher(measuring, folder, order),
        **as_keywords(measuring.compute),
        **making.reading,
    )
    if measuring.whole:
        rows = [row for row in rows if row.kind == "whole"]
    identity = plain(measuring.identity())
    measured = Measured(identity, sha256, making.source, rows[0].results[0].card, tuple(rows))
    measured.write(folder.result_path(measuring))


class _Accuracies(EvaluationCallback):
    """Tells the accuracy of every network."""

    def trained(self, row: str, network: str, repeat: int, accuracy: float | None) -> None:
        if accuracy is not None:
            _say(f"{row}: {network}, {repeat}: {accuracy:.2f} %")


class _Lines(Callback):
    """Tells how a run goes, a line now and then."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def started(self, plan: Plan, estimate: Estimate, step: int) -> None:
        """Say what is done and how long it will take."""
        _say(plan.command)
        _say(
            f"from step {step}, about {estimate.total_seconds:.0f} s, "
            f"{counted(plan.layout.per_class, 'image')} per class"
        )

    def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
        """Say how far it is."""
        now = time.monotonic()
        if now - self._said >= _SAID_SECONDS:
            self._said = now
            _say(f"{share:.0%}, step {step}, loss {loss:.4g}, {seconds:.0f} s")

    def validated(self, step: int, accuracy: float) -> None:
        """Say the accuracy on held-out images."""
        _say(f"step {step}: {accuracy:.2f} % on held-out images")

    def finished(self, artefact: Artefact) -> None:
        """Say what came of it."""
        _say(repr(artefact))


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end the work, whatever it does elsewhere in this process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _forget_compiled() -> None:
    """Let no piece of work depend on what was compiled for those before it."""
    dynamo = sys.modules.get("torch._dynamo")
    if dynamo is not None:
        dynamo.reset()
