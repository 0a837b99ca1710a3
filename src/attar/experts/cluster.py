"""Experts trained on a Ray cluster (needs the extra ``ray``).

Each group of experts is a task. A task whose machine or process is lost is done again elsewhere.
Snapshots come back to the machine that asked for them, so none of the others needs its folder.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from attar.errors import AttarError, RunFailed
from attar.experts.claims import Claim
from attar.experts.folder import claim_group
from attar.experts.plan import Plan
from attar.experts.store import path_of, save_expert
from attar.experts.telling import ExpertListener
from attar.experts.work import Made, Work, Workshop, facts_of
from attar.memory import keep_memory
from attar.parallel.cluster import connect, room

# times that a task is done again after its process or machine was lost
RETRIES = 5
_POLL_SECONDS = 0.5


def train_on_cluster(plan: Plan, missing: Sequence[int], listener: ExpertListener) -> None:
    """Train what is missing on the cluster that the request names.

    Raises:
        BadRequest: Ray is not installed, or there is no cluster at the address.
        RunFailed: a training diverged, or was lost too often.
    """
    assert plan.request.ray is not None
    ray = connect(plan.request.ray)
    try:
        jobs, share = room(ray, plan.request.jobs)
        listener.started(plan, missing, jobs)
        tasks = _Tasks(ray, plan.work, share, listener)
        try:
            while tasks.work.missing():
                tasks.submit(jobs)
                tasks.collect()
        finally:
            tasks.close()
    finally:
        ray.shutdown()


class _Tasks:
    """Groups of experts in training on the cluster."""

    def __init__(self, ray: Any, work: Work, share: float, listener: ExpertListener) -> None:
        self.work = work
        self._ray = ray
        self._listener = listener
        self._there = ray.put(work)
        remote = ray.remote(num_cpus=1, num_gpus=share, max_retries=RETRIES)
        self._train: Any = remote(_train)
        self._running: dict[Any, Claim] = {}

    def submit(self, most: int) -> None:
        """Give groups that nobody trains to the cluster, until ``most`` are in training."""
        for group in self.work.groups():
            if len(self._running) >= most:
                return
            # a claim does not tell where the file system has no locks
            if any(tuple(group) == claimed.experts for claimed in self._running.values()):
                continue
            if all(path_of(self.work.folder, expert).exists() for expert in group):
                continue
            claimed = claim_group(self.work, group)
            if claimed is not None:
                self._running[self._train.remote(self._there, list(group))] = claimed

    def collect(self) -> None:
        """Write the experts of groups that have ended; wait a little where none has."""
        if not self._running:
            time.sleep(_POLL_SECONDS)
            return
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=_POLL_SECONDS)
        for reference in ready:
            made = self._result(reference)
            self._listener.passed([one.expert for one in made], self.work.header.epochs)
            for one in made:
                self._save(one)
            self._running.pop(reference).release()

    def close(self) -> None:
        """Leave what is not done."""
        for reference, claimed in self._running.items():
            with contextlib.suppress(Exception):
                self._ray.cancel(reference, force=True)
            claimed.release()

    def _save(self, made: Made) -> None:
        work = self.work
        if not path_of(work.folder, made.expert).exists():
            save_expert(work.folder, work.header, made.expert, made.snapshots, **facts_of(made))
            self._listener.made(made.expert, made.accuracy)

    def _result(self, reference: Any) -> list[Made]:
        try:
            return self._ray.get(reference)
        except AttarError as error:
            # Ray's own error has the trace of the task, too
            raise RunFailed(str(getattr(error, "cause", error))) from None
        except Exception as error:
            first = str(error).strip().partition("\n")[0]
            raise RunFailed(
                f"an expert could not be trained on the cluster ({type(error).__name__}: {first}); "
                "the same command goes on"
            ) from error


# one for each process, so that what is compiled is compiled once
_WORKSHOPS: dict[str, Workshop] = {}


def _train(work: Work, experts: list[int]) -> list[Made]:
    """Train a group of experts on a machine of the cluster."""
    keep_memory()
    digest = work.header.digest
    if digest not in _WORKSHOPS:
        _WORKSHOPS.clear()
        _WORKSHOPS[digest] = Workshop(work)
    return _WORKSHOPS[digest].train(experts, lambda experts, epochs: None, keep=False)
