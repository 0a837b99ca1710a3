"""Tasks done on a Ray cluster (needs the extra ``ray``)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attar.errors import AttarError, BadRequest, RunFailed
from attar.memory import keep_memory
from attar.parallel.executor import printed_to
from attar.parallel.task import Ended, Task

LOCAL = "local"


class Cluster:
    """Does tasks on a Ray cluster, one core each and a share of a GPU where there are.

    Every machine of the cluster must have the same Attar installed, and see the folders that the
    tasks name under the same paths. What tasks tell of themselves on the way is not heard.

    Args:
        address: of the cluster, such as ``auto`` or ``ray://host:10001``; ``local`` starts one
            on this machine.
        jobs: how many tasks at once; None for as many as the cluster has cores, or GPUs where it
            has any.
        retries: times that a task is done again after its process or machine was lost.

    Raises:
        BadRequest: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, address: str, jobs: int | None = None, *, retries: int = 0) -> None:
        self._ray: Any = connect(address)
        self.jobs, share = room(self._ray, jobs)
        self._do: Any = self._ray.remote(num_cpus=1, num_gpus=share, max_retries=retries)(_do)
        self._running: dict[Any, str] = {}
        self._stopping = False

    def free(self) -> bool:
        """Tell whether fewer tasks are given than may be."""
        return len(self._running) < self.jobs

    def share(self, value: Any) -> Any:
        """Send a value to the cluster, once for all tasks."""
        return self._ray.put(value)

    def submit(self, task: Task) -> None:
        """Give a task to the cluster."""
        log = None if task.log is None else str(task.log)
        self._running[self._do.remote(task.function, log, *task.arguments)] = task.key

    def wait(self, seconds: float) -> list[Ended]:
        """Return what has ended."""
        if not self._running:
            return []
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        return [self._end_of(reference) for reference in ready]

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

    def _end_of(self, reference: Any) -> Ended:
        key = self._running.pop(reference)
        try:
            return Ended(key, self._ray.get(reference))
        except AttarError as error:
            # Ray's own error has the trace of the task, too
            return Ended(key, failure=str(getattr(error, "cause", error)), status=error.exit_status)
        except Exception as error:
            if self._stopping:
                return Ended(key, stopped=True)
            first = str(error).strip().partition("\n")[0]
            return Ended(key, lost=f"{type(error).__name__}: {first}")


def _do(function: Callable[..., Any], log: str | None, *arguments: Any) -> Any:
    """Do a task on a machine of the cluster."""
    keep_memory()
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(printed_to(None if log is None else Path(log)))
        except OSError as error:
            raise RunFailed(
                f"{log} cannot be written to on this machine of the cluster ({error}); its folder "
                "must be shared by all of them"
            ) from error
        return function(*arguments, lambda message: None)


def connect(address: str) -> Any:
    """Return the module ``ray``, connected.

    Args:
        address: of the cluster, such as ``auto`` or ``ray://host:10001``; ``local`` starts one
            on this machine.

    Raises:
        BadRequest: Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise BadRequest("--ray needs the extra: pip install 'attar[ray]'") from None
    try:
        ray.init(
            address=None if address == LOCAL else address,
            include_dashboard=False if address == LOCAL else None,
            log_to_driver=False,
            configure_logging=False,
        )
    except Exception as error:  # a node that does not start in time is told by a bare one
        first = str(error).partition("\n")[0]
        raise BadRequest(
            f"--ray {address}: no cluster answers there ({first}); 'ray start --head' starts one, "
            "and --ray local one for this run"
        ) from error
    return ray


def room(ray: Any, jobs: int | None) -> tuple[int, float]:
    """Return how many tasks run at once, and the share of a GPU that each gets.

    Args:
        ray: the module, connected.
        jobs: as asked for; None for as many as there are cores, or GPUs where there are any.
    """
    there = ray.cluster_resources()
    gpus = int(there.get("GPU", 0))
    jobs = jobs or gpus or max(1, int(there.get("CPU", 1)))
    return jobs, min(1.0, gpus / jobs) if gpus else 0.0
