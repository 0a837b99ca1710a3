"""The siege of files, in a process of its own: change one, read it, tell what came of it."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import random
import resource
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from attar.errors import AttarError, RunFailed
from siege.mutants import damaged, edited_json, forgery
from siege.victims import Victim, same, victims

# bytes that reading one file may take, and seconds
MOST_BYTES = 2 * 10**9
MOST_SECONDS = 10.0
# a process that hangs is ended
_HUNG_SECONDS = 60
# mutants of each kind, and the share of them that is forged
SHARES = {"artefact": 950, "part": 250, "snapshots": 150, "checkpoint": 300, "experts": 350}
TEXTS = 200
_FORGED = 0.4

Change = Callable[[bytes, random.Random], tuple[str, bytes]]


def peak() -> int:
    """Return the most memory that the process has had since `forget_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    return 0


def forget_peak() -> int:
    """Count the most memory from now on, where the system can; return what there is now."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def refused(error: AttarError, path: Path) -> str:
    """Return what came of a refusal, which must name the file or the folder of the experts.

    A run that goes on from forged values may diverge, and says so.
    """
    named = path.name in str(error) or "experts" in str(error) or isinstance(error, RunFailed)
    return "refused" if named else "unnamed"


def attack(one: Victim, content: bytes, expected: Any, *, is_forged: bool) -> tuple[str, str]:
    """Read a changed file; return what came of it, and more where it is bad."""
    one.path.write_bytes(content)
    try:
        found = one.read()
    except AttarError as error:
        return refused(error, one.path), str(error)
    except BaseException:
        return "traceback", traceback.format_exc()
    if one.kind == "text":
        return "read", ""
    if same(found, expected):
        return "equal", ""
    if not is_forged:
        return "wrong", "what was loaded differs"
    said = one.check(found)
    return ("wrong", said) if said else ("consistent", "")


def siege(folder: Path, *, seed: int, scale: float) -> dict[str, Any]:
    """Change files of every kind; return the counts, and what went wrong."""
    everyone = victims(folder)
    figures: dict[str, Counter[str]] = {}
    bad: list[str] = []
    slowest, largest = 0.0, 0
    for kind, count in {**SHARES, "text": TEXTS}.items():
        own = [one for one in everyone if one.kind == kind]
        originals = {one.path: one.path.read_bytes() for one in own}
        expected = {id(one): one.read() for one in own}
        counts = figures.setdefault(kind, Counter())
        for number in range(round(count * scale)):
            draw, one = random.Random(f"{seed} {kind} {number}"), own[number % len(own)]
            is_text = one.path.suffix in (".json", ".jsonl")
            is_forged = draw.random() < _FORGED and one.path.suffix != ".jsonl"
            # what is forged of a text without checksums cannot be told from what was written
            change: Change = (edited_json if is_text else forgery) if is_forged else damaged
            how, content = change(originals[one.path], draw)
            while content == originals[one.path]:
                how, content = change(content, draw)
            faulthandler.dump_traceback_later(_HUNG_SECONDS, exit=True)
            before, began = forget_peak(), time.perf_counter()
            came, why = attack(one, content, expected[id(one)], is_forged=is_forged)
            seconds, taken = time.perf_counter() - began, max(0, peak() - before)
            faulthandler.cancel_dump_traceback_later()
            one.path.write_bytes(originals[one.path])
            slowest, largest = max(slowest, seconds), max(largest, taken)
            counts[came] += 1
            counts["mutants"] += 1
            if seconds > MOST_SECONDS:
                came, why = "slow", f"{seconds:.1f} s"
            if taken > MOST_BYTES:
                came, why = "large", f"{taken} bytes"
            if came in ("traceback", "wrong", "unnamed", "slow", "large"):
                bad.append(f"{kind} {number} ({one.name}, {how}): {came}: {why}")
    return {
        "kinds": {kind: dict(counts) for kind, counts in figures.items()},
        "slowest": slowest,
        "largest": largest,
        "bad": bad,
    }


def main() -> None:
    """Besiege files in the folder given, and print what came of it as JSON."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    folder, seed, scale = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    sys.stdout.write(json.dumps(siege(folder, seed=seed, scale=scale)) + "\n")
