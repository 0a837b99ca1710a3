"""Connecting to a Ray cluster (needs the extra ``ray``)."""

from __future__ import annotations

from typing import Any

from attar.errors import BadRequest

LOCAL = "local"


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
