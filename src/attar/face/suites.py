"""`attar.bench`: a suite, run as far as it goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attar.benching.session import Account, Asked, BenchCallback, Progress
from attar.benching.session import bench as run


def bench(
    suite: str | Path,
    output: str | Path | None = None,
    *,
    size: str | None = None,
    smallest: bool = False,
    jobs: int | None = None,
    data: Mapping[str, str] | None = None,
    max_minutes: float | None = None,
    callback: BenchCallback | None = None,
) -> tuple[Account, Progress]:
    """Run a suite, or what is left of it, and write its tables.

    Args:
        suite: a YAML file; suites/README.md tells the format.
        output: folder for sets, accuracies, logs and tables; ``attar-bench/NAME-SIZE`` where left
            out. What is there and unchanged is not done again.
        size: one of the suite's sizes, such as ``laptop``.
        smallest: everything at its shortest on digits, to see that it runs.
        jobs: processes at once; 0 for this one alone; None for one for every GPU, or every core.
        data: other sources by the names of the suite's data sets.
        max_minutes: stop after them; the same call goes on.
        callback: told how it goes; silent by default.

    Returns:
        What came of it (``cells``, ``tables``), and how far it is (``left``, ``failures``). Work
        that failed is in both.

    Raises:
        BadRequest: anything about the suite or its data; nothing was started.
        RunFailed: the tables could not be written.
    """
    asked = Asked(
        Path(suite),
        None if output is None else Path(output),
        size,
        smallest,
        jobs,
        data=tuple(f"{name}={source}" for name, source in (data or {}).items()),
        max_minutes=max_minutes,
    )
    return run(asked, callback)
