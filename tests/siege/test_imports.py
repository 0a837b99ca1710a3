"""300 hostile imports: no code is run, none takes 1 GB or 10 s, and each ends in a sentence."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hostile_files import all_files
from siege.server import Server, serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux tells it"),
]
# of the processor: other work on the machine does not count
SECONDS = 10
BYTES = 10**9
OPTIONS = ("--classes", "4", "--zca", "none", "--mean", "0.3", "--std", "0.35", "--factor", "1")


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


def faults(found: dict[str, Any]) -> str:
    """Return what is wrong with how a command ended, or nothing."""
    last = found["said"].strip().splitlines()[-1:]
    if found["ended"] or found["status"] not in (0, 1, 2):
        return f"ended with {found['status']} {found['ended']}: {found['said'][-500:]}"
    if "Traceback" in found["said"]:
        return f"a traceback: {found['said'][-500:]}"
    if found["status"] and not (last and last[0].startswith("attar: ")):
        return f"no sentence: {found['said'][-500:]}"
    if found["seconds"] > SECONDS or found["bytes"] > BYTES:
        return f"took {found['seconds']:.1f} s and {found['bytes'] / 1e6:.0f} MB: {last}"
    return ""


def test_nothing_hostile_runs_or_takes_much(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    canary, said = tmp_path / "canary", tmp_path / "said"
    wrong: dict[str, str] = {}
    statuses: dict[int, int] = {}
    most_seconds = most_bytes = 0
    files = all_files(canary)
    assert len(files) >= 300 and len({name for name, _ in files}) == len(files)
    for name, make in files:
        folder = tmp_path / "set"
        folder.mkdir()
        paths = list(map(str, make(folder)))
        out = str(tmp_path / "out.safetensors")
        commands = [["import", *paths, *OPTIONS, "-o", out, "--overwrite"]]
        if paths[0].endswith(".npz"):
            commands.append(["condense", f"npz:{paths[0]}", "--method", "random", "--ipc", "1"])
            commands[-1] += ["-o", out, "--overwrite"]
        for words in commands:
            found = server.run(words, said)
            statuses[found["status"]] = statuses.get(found["status"], 0) + 1
            most_seconds = max(most_seconds, found["seconds"])
            most_bytes = max(most_bytes, found["bytes"])
            fault = "code was run" if canary.exists() else faults(found)
            if fault:
                wrong[f"{words[0]} {name}"] = fault
                canary.unlink(missing_ok=True)
        shutil.rmtree(folder)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{len(files)} hostile sets, {sum(statuses.values())} commands, by status "
            f"{statuses}; at most {most_seconds:.1f} s of the processor and "
            f"{most_bytes / 1e6:.0f} MB\n"
        )
    assert not wrong, "\n".join(f"{name}: {fault}" for name, fault in wrong.items())
