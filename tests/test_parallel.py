"""Tasks in this process and in several: what comes back, what is told, and how a task may end."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from attar.errors import BadRequest, RunFailed
from attar.parallel import Ended, Executor, Here, Processes, Task
from parallel_tasks import broken, killed, patient, process, refused, shared_sum, summed

HERE = Path(__file__).parent


class Told(list[Any]):
    """Keeps what tasks tell."""


@pytest.fixture(params=["here", "processes"])
def place(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Executor, Told]]:
    yield from placed(request.param, monkeypatch)


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Processes, Told]]:
    yield from placed("processes", monkeypatch)


def placed(kind: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))
    told = Told()
    executor = Here(told.append) if kind == "here" else Processes(2, told.append, grace=30)
    try:
        yield executor, told
    finally:
        executor.close()


def done(executor: Executor, *tasks: Task) -> dict[str, Ended]:
    found: dict[str, Ended] = {}
    waiting = list(tasks)
    while len(found) < len(tasks):
        while waiting and executor.free():
            executor.submit(waiting.pop(0))
        found |= {ended.key: ended for ended in executor.wait(60)}
    return found


def test_values_logs_and_what_is_told(place: tuple[Executor, Told], tmp_path: Path) -> None:
    executor, told = place
    tasks = [
        Task(str(n), summed, (list(range(n)),), tmp_path / "logs" / f"{n}.log") for n in range(4)
    ]
    found = done(executor, *tasks)
    assert {key: one.value for key, one in found.items()} == {"0": 0, "1": 0, "2": 1, "3": 3}
    assert sorted(map(tuple, told)) == [("of", n) for n in range(4)]
    for n in range(4):
        assert (tmp_path / "logs" / f"{n}.log").read_text(encoding="utf-8") == "summing\n"


def test_errors_come_back_as_they_were(place: tuple[Executor, Told]) -> None:
    executor, _ = place
    found = done(executor, Task("refused", refused), Task("broken", broken))
    with pytest.raises(BadRequest, match="--lr 7: too much"):
        found["refused"].raise_failure()
    with pytest.raises(RunFailed, match="ValueError: unforeseen"):
        found["broken"].raise_failure()


def test_a_log_that_cannot_be_written_fails_its_task_alone(
    place: tuple[Executor, Told], tmp_path: Path
) -> None:
    executor, _ = place
    (tmp_path / "file").touch()
    failing = Task("failing", summed, ([1],), tmp_path / "file" / "log")
    found = done(executor, failing, Task("good", summed, ([1, 2],)))
    assert str(tmp_path / "file") in found["failing"].failure and found["good"].value == 3


def test_a_shared_value_reaches_every_task(place: tuple[Executor, Told]) -> None:
    executor, _ = place
    shared = executor.share(torch.arange(5.0))
    found = done(executor, *(Task(str(n), shared_sum, (shared,)) for n in range(2)))
    assert [one.value for one in found.values()] == [10.0, 10.0]


def test_a_process_does_one_task_after_another(workers: tuple[Processes, Told]) -> None:
    executor, _ = workers
    found = done(executor, *(Task(str(n), process) for n in range(5)))
    assert 1 <= len({one.value for one in found.values()} - {os.getpid()}) <= 2


def test_a_process_that_dies_costs_its_task_and_is_replaced(
    workers: tuple[Processes, Told],
) -> None:
    executor, _ = workers
    found = done(executor, Task("killed", killed))
    assert found["killed"].lost.startswith("process was ended by SIGKILL (often for want of memory")
    found = done(executor, *(Task(str(n), summed, ([n, 1],)) for n in range(3)))
    assert [found[str(n)].value for n in range(3)] == [1, 2, 3]


def test_a_task_that_needs_what_a_dead_process_held_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))
    executor = Processes(1, count=1, replacing=False)
    try:
        number = done(executor, Task("process", process))["process"].value
        os.kill(number, signal.SIGKILL)
        # gone while it had nothing to do, and noticed before the next task
        os.waitid(os.P_PID, number, os.WEXITED | os.WNOWAIT)
        found = done(executor, Task("next", process))
        assert found["next"].lost.startswith("process was ended by SIGKILL")
    finally:
        executor.close()


def test_what_is_asked_to_stop_does(workers: tuple[Processes, Told]) -> None:
    executor, told = workers
    executor.submit(Task("patient", patient))
    while not told:
        executor.wait(60)
    executor.stop()
    ended: list[Ended] = []
    while not ended:
        ended = executor.wait(60)
    assert ended == [Ended("patient", stopped=True)]
