"""Suites in several processes, killed for real, and on a Ray cluster."""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from attar.parallel.processes import environment, how_ended

NETWORK = "convnet1:width=4"
SUITE: dict[str, Any] = {
    "name": "tried",
    "datasets": {"digits": {"source": "digits", "classes": 2, "per_class": 10}},
    "methods": ["random", "lodm", "dm"],
    "budgets": [1],
    "networks": [NETWORK],
    "repeats": 1,
    "evaluation": {"epochs": 1},
    "options": {"network": NETWORK, "iterations": 600, "validation": 0, "compile": "off"},
}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "tried.yaml"
    path.write_text(yaml.safe_dump({**SUITE, **changes}), encoding="utf-8")
    return path


def begun(path: Path, output: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "attar", "bench", str(path), "-o", str(output), "--json"]
    return subprocess.Popen(
        [*command, "--checkpoint-seconds", "0", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finished(path: Path, output: Path, *words: str) -> tuple[int, dict[str, Any]]:
    process = begun(path, output, *words)
    out, err = process.communicate()
    assert out, err
    return process.returncode, json.loads(out)


def wait_for(output: Path, pattern: str, process: subprocess.Popen[str]) -> None:
    """Wait for a file, however busy the machine is; the end of the process ends it, too."""
    while not list(output.glob(pattern)):
        if process.poll() is not None:
            pytest.fail(f"nothing was begun: {process.communicate()[1]}")
        time.sleep(0.02)


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [child for child in map(int, children) if "worker" in command_of(child)]


def ends(process: int) -> None:
    """Wait until a process is gone, or is left to be looked after by nobody."""
    with contextlib.suppress(OSError):
        while " Z " not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2]:
            time.sleep(0.02)


def contents(output: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in (output / "sets").rglob("seed-0.safetensors")
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A suite that nothing disturbed: its folder, and what it said."""
    folder = tmp_path_factory.mktemp("whole")
    status, found = finished(write(folder), folder / "out", "--jobs", "2")
    assert status == 0 and found["done"] == found["total"] == 6
    return folder / "out", found


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_suite_ended_by_a_signal_goes_on_to_the_same_result(
    number: signal.Signals, tmp_path: Path, whole: tuple[Path, dict[str, Any]]
) -> None:
    path, ended = write(tmp_path), tmp_path / "ended"
    process = begun(path, ended, "--jobs", "2")
    wait_for(ended, "sets/digits/lodm/ipc-1/seed-0.checkpoint.safetensors", process)
    workers = workers_of(process)
    assert len(workers) == 2
    process.send_signal(number)
    out, err = process.communicate()
    if number != signal.SIGKILL:
        assert process.returncode == 1
        assert number.name in json.loads(out)["stopped"] and "go on with" in err
    assert not (ended / "sets/digits/lodm/ipc-1/seed-0.safetensors").exists()
    # no process is left; those of one that was killed notice it by themselves
    for worker in workers:
        if number != signal.SIGKILL:
            assert not Path(f"/proc/{worker}").exists()
        ends(worker)
    status, found = finished(path, ended, "--jobs", "2")
    assert status == 0 and found["done"] == 6
    log = (ended / "logs/digits/lodm/ipc-1/seed-0.log").read_text(encoding="utf-8")
    assert "from step 0" in log and log.count("from step") == 2 and log.count("from step 0") == 1
    folder, wanted = whole
    assert contents(ended) == contents(folder)
    for one, other in zip(found["cells"], wanted["cells"], strict=True):
        assert one["accuracies"] == other["accuracies"]


@pytest.mark.slow
def test_a_process_that_is_killed_costs_its_own_cell_alone(tmp_path: Path) -> None:
    path, output = write(tmp_path, methods=["lodm", "random"]), tmp_path / "out"
    process = begun(path, output, "--jobs", "2")
    wait_for(output, "sets/digits/lodm/ipc-1/seed-0.checkpoint.safetensors", process)
    for child in workers_of(process):
        if open_log(child, "lodm"):
            os.kill(child, signal.SIGKILL)
    out, _ = process.communicate()
    found = json.loads(out)
    assert process.returncode == 1 and found["done"] == 2
    assert "SIGKILL" in found["failures"]["digits/lodm/ipc-1/seed-0"]
    status, found = finished(path, output)
    assert status == 0 and found["done"] == found["total"] == 4


def command_of(process: int) -> str:
    return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")


def open_log(process: int, part: str) -> bool:
    target = Path(f"/proc/{process}/fd/1").readlink()
    return target.suffix == ".log" and part in target.parts


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_a_ray_cluster_gives_the_same_result(tmp_path: Path) -> None:
    methods = ["random", "lodm", {"method": "dm", "lr": 1e38}]
    path = write(tmp_path, methods=methods, options={**SUITE["options"], "iterations": 20})
    status, wanted = finished(path, tmp_path / "here", "--jobs", "1")
    assert status == 1
    status, found = finished(path, tmp_path / "ray", "--ray", "local", "--jobs", "2")
    assert status == 1 and found["done"] == wanted["done"] == 4
    assert "diverged" in found["failures"]["digits/dm/ipc-1/seed-0"]
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")
    for one, other in zip(found["cells"], wanted["cells"], strict=True):
        assert one["accuracies"] == other["accuracies"]
    log = tmp_path / "ray" / "logs" / "digits" / "dm" / "ipc-1" / "seed-0.log"
    assert "diverged" in log.read_text(encoding="utf-8")


def test_jobs_have_their_threads_and_share_the_devices() -> None:
    assert environment(3, 0, ())["OMP_NUM_THREADS"] == "3"
    assert "CUDA_VISIBLE_DEVICES" not in environment(2, 0, ())
    given = [environment(4, index, ("0", "5"))["CUDA_VISIBLE_DEVICES"] for index in range(4)]
    assert given == ["0", "5", "0", "5"]


def test_the_end_of_a_process_is_told_in_words() -> None:
    assert "SIGKILL" in how_ended(-9) and "--jobs" in how_ended(-9)
    assert "SIGSEGV" in how_ended(-11) and how_ended(3) == "process ended with status 3"
    assert how_ended(1, "some\nlast\n") == "process ended with status 1 (last)"
