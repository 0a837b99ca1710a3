"""Work done on a Ray cluster (needs the extra ``ray``)."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from attar.benching.work import Order, Outcome, perform
from attar.errors import RunFailed
from attar.memory import keep_memory
from attar.parallel.cluster import connect, room


class Cluster:
    """Does orders as tasks of a Ray cluster, one core each and a share of a GPU where there are.

    Every machine of the cluster must see the suite's folder and the data under the same paths, and
    have the same Attar installed.

    Args:
        address: of the cluster, such as ``auto`` or ``ray://host:10001``; ``local`` starts one
            on this machine.
        jobs: how many tasks at once; None for as many as the cluster has cores, or GPUs where it
            has any.

    Raises:
        BadRequest: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, address: str, jobs: int | None = None) -> None:
        self._ray: Any = connect(address)
        self._jobs, share = room(self._ray, jobs)
        self._perform: Any = self._ray.remote(num_cpus=1, num_gpus=share, max_retries=0)(_perform)
        self._running: dict[Any, Order] = {}
        self._stopping = False

    def free(self) -> bool:
        """Tell whether fewer tasks are given than may be."""
        return len(self._running) < self._jobs

    def submit(self, order: Order, log: Path) -> None:
        """Give a task to the cluster."""
        self._running[self._perform.remote(order.as_dict(), str(log))] = order

    def wait(self, seconds: float) -> list[Outcome]:
        """Return what has ended."""
        if not self._running:
            return []
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        return [self._outcome(reference, self._running.pop(reference)) for reference in ready]

    def stop(self) -> None:
        """Interrupt every task."""
        self._stopping = True
        for reference in self._running:
            self._ray.cancel(reference, force=False)

    def close(self) -> None:
        """Kill what is left and leave the cluster."""
        for reference in self._running:
            with contextlib.suppress(Exception):
                self._ray.cancel(reference, force=True)
        self._ray.shutdown()

    def _outcome(self, reference: Any, order: Order) -> Outcome:
        try:
            return Outcome(**self._ray.get(reference))
        except Exception as error:
            if self._stopping:
                return Outcome(order.work.key, "stopped", 0.0)
            first = str(error).strip().partition("\n")[0]
            return Outcome(order.work.key, "failed", 0.0, f"{type(error).__name__}: {first}")


def _perform(order: dict[str, Any], log: str) -> dict[str, Any]:
    """Do an order on a machine of the cluster."""
    keep_memory()
    path = Path(log)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise RunFailed(
            f"{path.parent} cannot be written to on this machine of the cluster ({error}); the "
            "suite's folder must be shared by all of them"
        ) from error
    with file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        return perform(Order.from_dict(order)).as_dict()
