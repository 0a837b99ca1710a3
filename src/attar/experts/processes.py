"""Several processes of this machine that share the training of experts."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from attar import threads
from attar.errors import BadRequest, RunFailed
from attar.experts.telling import ExpertListener
from attar.experts.work import Work

# how long a process may take to keep what it has done, once it is asked to end
_GRACE_SECONDS = 30.0


@dataclass
class _Worker:
    """A process, and the file that its complaints go to."""

    process: subprocess.Popen[str]
    complaints: IO[bytes]


def train_in_processes(work: Work, jobs: int, listener: ExpertListener) -> None:
    """Train what is missing in processes; each takes groups that nobody else trains.

    A process that dies leaves its group to the others.

    Args:
        work: what is to be trained.
        jobs: how many processes.
        listener: told what all of them tell.

    Raises:
        RunFailed: a training diverged, or all processes died.
    """
    told: queue.Queue[tuple[_Worker, dict[str, Any] | None]] = queue.Queue()
    with _handed_on(work) as handle, contextlib.ExitStack() as stack:
        own = threads.share(jobs)
        workers = [_begun(handle, _environment(own, i, work.device), told) for i in range(jobs)]
        stack.callback(_end, workers)
        running, ends = len(workers), []
        while running:
            worker, message = told.get()
            if message is None:
                running -= 1
                ends.append(_complaint(worker))
                continue
            _pass_on(message, listener)
    if work.missing():
        raise RunFailed(
            f"{'; '.join(filter(None, ends))}. {work.count - len(work.missing())} of {work.count} "
            f"experts are in {work.folder}; the same command goes on."
        )
    for complaint in filter(None, ends):
        warnings.warn(f"{complaint}; the others did its work", stacklevel=2)


def _pass_on(message: dict[str, Any], listener: ExpertListener) -> None:
    if "passed" in message:
        listener.passed(*message["passed"])
    elif "made" in message:
        listener.made(*message["made"])
    elif "failed" in message:
        kind = BadRequest if message["status"] == BadRequest.exit_status else RunFailed
        raise kind(message["failed"])


@contextlib.contextmanager
def _handed_on(work: Work) -> Iterator[int]:
    """Yield the handle of a file that holds the work and has no name.

    It is mapped by every process, so that the images are in memory once, and it is gone with the
    last of them.
    """
    handle, name = tempfile.mkstemp(prefix="attar-experts-")
    try:
        with open(name, "wb") as file:  # noqa: PTH123
            torch.save(work, file)
    except OSError as error:
        os.close(handle)
        raise RunFailed(
            f"the images could not be handed on to other processes ({error.strerror or error}); "
            "free some space for temporary files, or leave out --jobs"
        ) from error
    finally:
        Path(name).unlink()
    try:
        yield handle
    finally:
        os.close(handle)


def _begun(handle: int, environment: dict[str, str], told: queue.Queue[Any]) -> _Worker:
    """Start a process that trains."""
    complaints = tempfile.TemporaryFile()  # noqa: SIM115
    process = subprocess.Popen(
        [sys.executable, "-m", "attar.experts.worker", str(handle)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        text=True,
        encoding="utf-8",
        env={**os.environ, **environment},
        pass_fds=(handle,),
        # Ctrl-C is passed on by this process
        start_new_session=True,
    )
    worker = _Worker(process, complaints)
    threading.Thread(target=_listen, args=(worker, told), daemon=True).start()
    return worker


def _listen(worker: _Worker, told: queue.Queue[Any]) -> None:
    assert worker.process.stdout is not None
    with contextlib.suppress(ValueError, OSError):
        for line in worker.process.stdout:
            told.put((worker, json.loads(line)))
    told.put((worker, None))


def _end(workers: list[_Worker]) -> None:
    """Ask all processes to end, and kill those that do not."""
    for worker in workers:
        if worker.process.poll() is None:
            with contextlib.suppress(OSError):
                worker.process.send_signal(signal.SIGINT)
    for worker in workers:
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(_GRACE_SECONDS)
        # each leads a group of its own, with what compilers have started in it
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
        for stream in (worker.process.stdin, worker.process.stdout, worker.complaints):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def _complaint(worker: _Worker) -> str:
    """Say how a process ended that should have done its work; nothing where it did."""
    code = worker.process.wait()
    if code == 0:
        return ""
    if code < 0:
        name = signal.Signals(-code).name
        memory = " (often for want of memory: fewer --jobs need less)" if name == "SIGKILL" else ""
        return f"a process was ended by {name}{memory}"
    worker.complaints.seek(0)
    lines = worker.complaints.read().decode(errors="replace").strip().splitlines()
    return f"a process ended with status {code}{f' ({lines[-1]})' if lines else ''}"


def _environment(count: int, index: int, device: str) -> dict[str, str]:
    """Return what a process has of its own: its share of the cores, and a GPU."""
    own = threads.environment(count)
    gpus = torch.cuda.device_count()
    if device in ("auto", "cuda") and gpus > 1:
        named = [one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one]
        own["CUDA_VISIBLE_DEVICES"] = (named or list(map(str, range(gpus))))[index % gpus]
    return own
