"""What benchmarks beside the authors' code share: a process for each row, and old imports.

A benchmark starts itself again with ``--worker JSON`` for every row; that process prints what it
measured as one line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_RESULT = "RESULT "


def print_result(found: Mapping[str, Any]) -> None:
    """Print what a worker measured, for `result_of`."""
    print(f"\n{_RESULT}{json.dumps(found)}")


def result_of(
    script: str,
    job: Mapping[str, Any],
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    threads: int | None = None,
    earlier: str = "",
    seconds: float | None = None,
) -> dict[str, Any]:
    """Return what a benchmark measures in a process of its own.

    Args:
        script: the benchmark's file.
        job: the row that is measured.
        arguments: further ones of its command line.
        environment: variables to add.
        threads: of the numerical libraries; their own choice where left out.
        earlier: a checkout of another Attar, whose own benchmark of this name measures it.
        seconds: after which the process is ended; None for any number.

    Raises:
        TimeoutExpired: it was ended.
        SystemExit: the process ended without a result; tells what it said last.
    """
    given = dict(environment or {})
    if earlier:
        script = str(Path(earlier, "benchmarks", Path(script).name))
        given["PYTHONPATH"] = str(Path(earlier, "src"))
    command = [sys.executable, script, *arguments, "--worker", json.dumps(job)]
    if threads is not None:
        given |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, **given},
        check=False,
        timeout=seconds,
    )
    for line in done.stdout.splitlines():
        if line.startswith(_RESULT):
            return json.loads(line.removeprefix(_RESULT))
    raise SystemExit(f"{job} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")


def arguments_of(options: Any, names: Sequence[str]) -> list[str]:
    """Return fields of a benchmark's options as its command line takes them."""
    return [
        text
        for name in names
        for text in (f"--{name.replace('_', '-')}", str(getattr(options, name)))
    ]


def restore_old_scipy() -> None:
    """Put back a module that SciPy has removed and the authors' code imports."""
    import scipy.ndimage

    old = types.ModuleType("scipy.ndimage.interpolation")
    old.rotate = scipy.ndimage.rotate  # pyright: ignore[reportAttributeAccessIssue]
    sys.modules[old.__name__] = old


def profiled(run: Any) -> list[tuple[str, float]]:
    """Return the share of time of the ten costliest operations, in percent."""
    import torch

    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as watched:
        run()
    rows = watched.key_averages()
    total = sum(row.self_cpu_time_total for row in rows)
    top = sorted(rows, key=lambda row: -row.self_cpu_time_total)[:10]
    return [(row.key, 100 * row.self_cpu_time_total / total) for row in top]
