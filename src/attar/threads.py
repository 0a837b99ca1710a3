"""How many CPU threads to compute with: what is asked for, else one for every core that is free.

Threads of one step wait for each other, so one that shares its core with another program holds
all of them up. Free of torch until a number is set.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from attar.errors import BadRequest
from attar.text import counted

# what libraries read before they start threads; a user who sets one has decided
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
# seconds: what is busy is told from a span of at least so much, and at most so much
_SHORTEST, _LONGEST = 0.25, 60.0
# of a line "cpuN" of /proc/stat: user, system, irq, softirq, steal; what is nice makes room
_BUSY_COLUMNS = (1, 3, 6, 7, 8)


@dataclass(frozen=True)
class Choice:
    """A number of threads, and how it came about.

    Args:
        count: threads.
        why: in a few words; empty where there is nothing to say.
    """

    count: int
    why: str = ""

    def __str__(self) -> str:
        words = counted(self.count, "thread")
        return f"{words} ({self.why})" if self.why else words


@dataclass(frozen=True)
class Moment:
    """What the cores had done up to a moment.

    Args:
        at: seconds of a clock.
        busy: seconds that the cores of this process were busy, whoever kept them so.
        own: those of this process and its children that have ended.
    """

    at: float
    busy: float
    own: float


def cores() -> int:
    """Return how many cores this process may keep busy: by its affinity, and by its quota."""
    there = len(_own_cores())
    allowed = quota()
    return there if allowed is None else max(1, min(there, int(allowed)))


def share(jobs: int) -> int:
    """Return the threads of each of several processes at once.

    Where the environment fixes a number of threads for this process, it holds for each.
    """
    given = _given(os.environ)
    if given is not None:
        return given
    return max(1, choose(None, {}, cores(), busy_cores()).count // jobs)


def environment(threads: int) -> dict[str, str]:
    """Return what the environment of another process says of its threads."""
    return dict.fromkeys(_VARIABLES, str(threads))


def choose(
    asked: int | None,
    environment: Mapping[str, str],
    cores: int,
    busy: float | None,
    kept: int | None = None,
    workers: int = 1,
) -> Choice:
    """Return the number of threads, of each of several processes where there are.

    Args:
        asked: by ``--threads``; None where nothing was.
        environment: variables, of which ``OMP_NUM_THREADS`` may fix it.
        cores: that this process may use.
        busy: how many of them others keep busy, on average; None where that is not known.
        kept: with what number an earlier part of the same run was made.
        workers: processes that share those that are free.

    Raises:
        BadRequest: fewer than one.
    """
    if asked is not None:
        if asked < 1:
            raise BadRequest(f"--threads {asked}: at least 1 is needed")
        return Choice(asked, f"more than the {counted(cores, 'core')} there are" * (asked > cores))
    given = _given(environment)
    if given is not None:
        return Choice(given, "as OMP_NUM_THREADS says")
    if kept is not None and 1 <= kept <= cores:
        return Choice(kept, "as the run began, so that it repeats")
    if workers > 1:
        free = choose(None, {}, cores, busy).count
        return Choice(max(1, free // workers), f"of each of {workers} workers")
    if busy is None:
        return Choice(cores)
    free = max(1, int(cores - busy + 0.5))
    if free >= cores:
        return Choice(cores)
    taken = min(cores, max(1, round(busy)))
    return Choice(free, f"{taken} of {cores} cores {'is' if taken == 1 else 'are'} busy")


def use(asked: int | None = None, kept: int | None = None, workers: int = 1) -> Choice:
    """Let this process compute with as many threads as `choose` says, and return the choice.

    For commands, whose process is their own.
    """
    known = asked is not None or _given(os.environ) is not None
    choice = choose(asked, os.environ, cores(), None if known else busy_cores(), kept, workers)
    if asked is not None or not known:
        import torch

        torch.set_num_threads(choice.count)
    return choice


@contextlib.contextmanager
def among(workers: int) -> Iterator[None]:
    """Compute with a share of the threads within, where several processes do and none is fixed."""
    if workers == 1 or _given(os.environ) is not None:
        yield
        return
    import torch

    with using(max(1, torch.get_num_threads() // workers)):
        yield


@contextlib.contextmanager
def using(asked: int | None) -> Iterator[None]:
    """Compute with so many threads within; for calls, which leave the process as it was.

    Raises:
        BadRequest: fewer than one.
    """
    if asked is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(choose(asked, {}, cores(), None).count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def busy_cores() -> float | None:
    """Return how many of the cores others have kept busy of late; None where nothing tells.

    That is since this module was imported, which a command does first, or over a moment where
    that was just now or long ago. Without ``/proc/stat`` it is the load of the last minute.
    """
    global _FIRST
    now = moment()
    if now is None:
        return _load()
    if _FIRST is None or not _SHORTEST <= now.at - _FIRST.at <= _LONGEST:
        _FIRST = now
        time.sleep(_SHORTEST)
        now = moment() or now
    return busy_between(_FIRST, now)


def busy_between(first: Moment, last: Moment) -> float:
    """Return how many cores others kept busy between two moments, on average."""
    others = (last.busy - first.busy) - (last.own - first.own)
    return max(0.0, others / (last.at - first.at))


def moment(text: str | None = None) -> Moment | None:
    """Return what has been done so far; None where the system does not tell.

    Args:
        text: of ``/proc/stat``; None reads it.
    """
    if text is None:
        try:
            text = Path("/proc/stat").read_text(encoding="ascii")
        except OSError:
            return None
    ours = {f"cpu{number}" for number in _own_cores()}
    lines = [line.split() for line in text.splitlines()]
    counts = [int(line[i]) for line in lines if line and line[0] in ours for i in _BUSY_COLUMNS]
    if not any(counts):
        return None
    used = os.times()
    own = used.user + used.system + used.children_user + used.children_system
    return Moment(time.monotonic(), sum(counts) / os.sysconf("SC_CLK_TCK"), own)


def quota() -> float | None:
    """Return how many cores' time the control group of this process may use; None for any."""
    found = [one for folder in _group_folders() if (one := _quota_of(folder)) is not None]
    return min(found, default=None)


def _quota_of(folder: Path) -> float | None:
    """Return the limit that a folder of version 2 or 1 of control groups states."""
    try:
        if (folder / "cpu.max").exists():
            allowed, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        else:
            allowed = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
        return None if allowed in ("max", "-1") else float(allowed) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _group_folders() -> list[Path]:
    """Return the folders of the control groups that this process is in, and of those above."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found: list[Path] = []
    for line in lines:
        _, kinds, inside = line.split(":", 2)
        if kinds and "cpu" not in kinds.split(","):
            continue
        root = Path("/sys/fs/cgroup") / ("cpu" if kinds else "")
        group = root / inside.strip("/")
        found += [one for one in (group, *group.parents) if one.is_relative_to(root)]
    return found


def _own_cores() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _load() -> float | None:
    if not hasattr(os, "getloadavg"):
        return None
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def _given(environment: Mapping[str, str]) -> int | None:
    """Return the number that a variable of the environment fixes, if any."""
    for name in _VARIABLES:
        # OpenMP takes a list, a number for each level of nested threads
        text = environment.get(name, "").partition(",")[0].strip()
        if text.isdigit() and int(text) > 0:
            return int(text)
    return None


_FIRST = moment()
