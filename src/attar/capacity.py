"""How much memory can be had, and the refusal of what would take more. Free of torch."""

from __future__ import annotations

import os
import re
from pathlib import Path

from attar.budget import format_bytes
from attar.errors import BadRequest

# what a file makes of itself by unpacking is not doubted up to this size, nor up to this many
# times its stored size: arrays of images are seldom packed tighter than 20 times
UNDOUBTED = 64 * 2**20
_RATIO = 100
_CGROUPS = Path("/sys/fs/cgroup")


def available_memory() -> int:
    """Return how many bytes this process can still take.

    The least of what the machine has free or can free, swap included, and of what limits of the
    process and its group leave.
    """
    return max(0, min(_of_machine(), _of_process(), _of_group()))


def spare_memory() -> int:
    """Return what a message may promise of it: nine tenths, since the rest moves all the time."""
    return available_memory() * 9 // 10


def check_memory(needed: int, what: str, remedy: str, there: int | None = None) -> None:
    """Refuse what takes more memory than there is, before anything is taken.

    Args:
        needed: bytes, at least.
        what: takes them, as the message calls it, such as ``--resize 9000: 60000 images``.
        remedy: what to do, such as ``give a smaller --resize``.
        there: bytes that can be had; None for those of this process.

    Raises:
        BadRequest: there is not that much.
    """
    there = available_memory() if there is None else there
    if needed > there:
        raise BadRequest(
            f"{what} would take {format_bytes(needed)} of memory, but {format_bytes(there)} can be "
            f"had here; {remedy}"
        )


def check_unpacked(stored: int, unpacked: int, what: str, remedy: str) -> None:
    """Refuse what a small file declares to unpack to, before it is unpacked.

    Args:
        stored: bytes in the file.
        unpacked: bytes in memory, as declared.
        what: unpacks, as the message calls it.
        remedy: what to do where it is meant so.

    Raises:
        BadRequest: both are too far apart, or there is not that much memory.
    """
    if unpacked > max(UNDOUBTED, _RATIO * stored):
        raise BadRequest(
            f"{what} is said to unpack {format_bytes(stored)} to {format_bytes(unpacked)}, which "
            f"is more than {_RATIO} times as much, and was not unpacked; {remedy}"
        )
    check_memory(unpacked, what, remedy)


def _of_machine() -> int:
    try:
        said = dict(re.findall(r"^(\w+): +(\d+) kB$", Path("/proc/meminfo").read_text(), re.M))
        return 1024 * (int(said["MemAvailable"]) + int(said.get("SwapFree", 0)))
    except (OSError, KeyError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        # a system that does not tell is not second-guessed
        return 2**63 - 1


def _of_process() -> int:
    """Return what the limit on the address space (``ulimit -v``) leaves."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        taken = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError, ValueError):
        return 2**63 - 1
    if limit == resource.RLIM_INFINITY:
        return 2**63 - 1
    return limit - taken * os.sysconf("SC_PAGE_SIZE")


def _of_group() -> int:
    """Return what the control groups of this process leave, in both versions of them."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return 2**63 - 1
    left = 2**63 - 1
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = _CGROUPS / "memory" if controllers else _CGROUPS
        names = ("limit_in_bytes", "usage_in_bytes") if controllers else ("max", "current")
        place = root / path.strip("/")
        for folder in (place, *place.parents):
            left = min(left, _left_in(folder, *names))
            if folder == root:
                break
    return left


def _left_in(folder: Path, limit: str, usage: str) -> int:
    """Return what one group leaves; files that were read and can be forgotten are not counted."""
    try:
        most = int((folder / f"memory.{limit}").read_text())
        taken = int((folder / f"memory.{usage}").read_text())
        said = dict(re.findall(r"^(\w+) (\d+)$", (folder / "memory.stat").read_text(), re.M))
    except (OSError, ValueError):
        # no group, or no limit ("max")
        return 2**63 - 1
    return most - taken + int(said.get("total_inactive_file", said.get("inactive_file", 0)))
