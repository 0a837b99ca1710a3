"""Experts trained on a Ray cluster (needs the extra ``ray``).

Each group of experts is a task. A task whose machine or process is lost is done again elsewhere.
Snapshots come back to the machine that asked for them, so none of the others needs its folder.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from attar.errors import RunFailed
from attar.experts.claims import Claim
from attar.experts.folder import claim_group
from attar.experts.plan import Plan
from attar.experts.store import path_of, save_expert
from attar.experts.telling import ExpertCallback
from attar.experts.work import Made, Work, Workshop, facts_of
from attar.parallel import Executor, Task, Tell
from attar.parallel.cluster import Cluster

# times that a task is done again after its process or machine was lost
RETRIES = 5
_POLL_SECONDS = 0.5


def train_on_cluster(plan: Plan, missing: Sequence[int], callback: ExpertCallback) -> None:
    """Train what is missing on the cluster that the request names.

    Raises:
        BadRequest: Ray is not installed, or there is no cluster at the address.
        RunFailed: a training diverged, or was lost too often.
    """
    assert plan.request.ray is not None
    cluster = Cluster(plan.request.ray, plan.request.jobs, retries=RETRIES)
    groups = None
    try:
        callback.started(plan, missing, cluster.jobs)
        groups = _Groups(cluster, plan.work, callback)
        while plan.work.missing():
            groups.submit()
            groups.collect()
    finally:
        cluster.close()
        if groups is not None:
            groups.release()


class _Groups:
    """Groups of experts in training on the cluster."""

    def __init__(self, executor: Executor, work: Work, callback: ExpertCallback) -> None:
        self._executor = executor
        self._work = work
        self._callback = callback
        self._there = executor.share(work)
        self._running: dict[str, Claim] = {}

    def submit(self) -> None:
        """Give groups that nobody trains to the cluster, as many as it takes."""
        for group in self._work.groups():
            if not self._executor.free():
                return
            key = f"experts {group.start} to {group.stop - 1}"
            # a claim does not tell where the file system has no locks
            if key in self._running:
                continue
            if all(path_of(self._work.folder, expert).exists() for expert in group):
                continue
            claimed = claim_group(self._work, group)
            if claimed is not None:
                self._running[key] = claimed
                self._executor.submit(Task(key, _train, (self._there, list(group))))

    def collect(self) -> None:
        """Write the experts of groups that have ended; wait a little where none has."""
        if not self._running:
            time.sleep(_POLL_SECONDS)
            return
        for ended in self._executor.wait(_POLL_SECONDS):
            ended.raise_failure()
            if ended.lost:
                raise RunFailed(
                    f"an expert could not be trained on the cluster ({ended.lost}); the same "
                    "command goes on"
                )
            made: list[Made] = ended.value
            self._callback.passed([one.expert for one in made], self._work.header.epochs)
            for one in made:
                self._save(one)
            self._running.pop(ended.key).release()

    def release(self) -> None:
        """Let others have what is not done."""
        for claimed in self._running.values():
            claimed.release()

    def _save(self, made: Made) -> None:
        work = self._work
        if not path_of(work.folder, made.expert).exists():
            save_expert(work.folder, work.header, made.expert, made.snapshots, **facts_of(made))
            self._callback.made(made.expert, made.accuracy)


# one for each process, so that what is compiled is compiled once
_WORKSHOPS: dict[str, Workshop] = {}


def _train(work: Work, experts: list[int], tell: Tell) -> list[Made]:
    """Train a group of experts on a machine of the cluster."""
    digest = work.header.digest
    if digest not in _WORKSHOPS:
        _WORKSHOPS.clear()
        _WORKSHOPS[digest] = Workshop(work)
    return _WORKSHOPS[digest].train(experts, lambda experts, epochs: None, keep=False)
