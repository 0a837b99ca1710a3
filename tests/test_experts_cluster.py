"""Experts as tasks of a Ray cluster: what the asking side does, and a real cluster on request."""

import errno
import importlib.util
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from attar import locking
from attar.data import as_splits
from attar.errors import BadRequest, RunFailed
from attar.experts.claims import someone_works
from attar.experts.cluster import RETRIES
from attar.experts.planning import make_plan
from attar.experts.request import ExpertsRequest
from attar.experts.work import Workshop
from attar.parallel import cluster
from catalogue import tiny_data
from test_experts_training import DATA, SETTINGS, Recorder, files, trained

HAS_RAY = importlib.util.find_spec("ray") is not None


class FakeRay:
    """Does a task when its result is asked for; ``lose`` makes the first results fail."""

    def __init__(self, lose: Exception | None = None, cpus: int = 2) -> None:
        self.most = self.asked = 0
        self.cancelled: list[int] = []
        self.options: dict[str, Any] = {}
        self.is_shut = False
        self._tasks: dict[int, Callable[[], Any]] = {}
        self._lose = lose
        self._cpus = cpus

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": self._cpus}

    def put(self, value: Any) -> Any:
        return value

    def remote(self, **options: Any) -> Callable[[Callable[..., Any]], Any]:
        self.options = options
        return lambda function: _Task(self, function)

    def begin(self, task: Callable[[], Any]) -> int:
        self.asked += 1
        self._tasks[self.asked] = task
        self.most = max(self.most, len(self._tasks))
        return self.asked

    def wait(self, tasks: list[int], num_returns: int, timeout: float) -> tuple[list[int], None]:
        return tasks[-num_returns:], None

    def get(self, task: int) -> Any:
        if self._lose is not None:
            raise self._lose
        return self._tasks.pop(task)()

    def cancel(self, task: int, force: bool) -> None:
        self.cancelled.append(task)

    def shutdown(self) -> None:
        self.is_shut = True


class _Task:
    def __init__(self, ray: FakeRay, function: Callable[..., Any]) -> None:
        self._ray = ray
        self._function = function

    def remote(self, *arguments: Any) -> int:
        return self._ray.begin(lambda: self._function(*arguments))


def test_tasks_give_the_same_experts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay()
    monkeypatch.setattr(cluster, "connect", lambda address: ray)
    recorder = Recorder()
    trained(tmp_path / "e", count=5, ray="local", callback=recorder)
    # the last to be given is the first to end
    assert sorted(recorder.ended) == list(range(5)) and recorder.ended[0] == 1
    assert (ray.asked, ray.most, ray.is_shut) == (5, 2, True)
    assert ray.options == {"num_cpus": 1, "num_gpus": 0.0, "max_retries": RETRIES}
    trained(tmp_path / "whole", count=5)
    assert files(tmp_path / "e") == files(tmp_path / "whole")


def test_groups_and_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tmp_path / "e", count=5, together=2)
    before = files(tmp_path / "e")
    (tmp_path / "e" / "expert-00003.safetensors").unlink()
    ray = FakeRay()
    monkeypatch.setattr(cluster, "connect", lambda address: ray)
    recorder = Recorder()
    trained(tmp_path / "e", count=5, together=2, ray="local", jobs=1, callback=recorder)
    assert recorder.ended == [3] and ray.asked == 1
    assert files(tmp_path / "e") == before


@pytest.mark.parametrize(
    ("lose", "said"),
    [
        (RunFailed("expert 1 diverged"), "expert 1 diverged"),
        (OSError("worker died"), r"could not be trained on the cluster \(OSError: worker died\)"),
    ],
)
def test_what_fails_for_good_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lose: Exception, said: str
) -> None:
    ray = FakeRay(lose)
    monkeypatch.setattr(cluster, "connect", lambda address: ray)
    with pytest.raises(RunFailed, match=said):
        trained(tmp_path / "e", ray="local")
    assert ray.cancelled == [1] and ray.is_shut
    assert not someone_works(tmp_path / "e")
    assert [path.name for path in (tmp_path / "e").iterdir()] == ["experts.json"]


def test_a_group_is_one_task_where_there_are_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = FakeRay()
    monkeypatch.setattr(cluster, "connect", lambda address: ray)

    def none(handle: int, *, blocking: bool = True) -> bool:
        raise OSError(errno.ENOSYS, "no locks")

    monkeypatch.setattr(locking, "lock_descriptor", none)
    recorder = Recorder()
    trained(tmp_path / "e", count=3, ray="local", callback=recorder)
    assert sorted(recorder.ended) == list(range(3)) and ray.asked == 3


def test_a_machine_without_the_folder_tells_what_diverged(tmp_path: Path) -> None:
    """As a task of a cluster does it, on another machine."""
    request = ExpertsRequest(**SETTINGS, lr=1e30, output=tmp_path / "e")
    work = make_plan(request, as_splits(DATA), {}).work
    with pytest.raises(RunFailed, match="expert 0 diverged"):
        Workshop(work).train([0], lambda experts, epochs: None, keep=False)
    assert not (tmp_path / "e").exists()


def test_ray_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(BadRequest, match=r"--ray needs the extra: pip install 'attar\[ray\]'"):
        trained(tmp_path / "e", ray="local")


class Killer(Recorder):
    """Kills the process of a task, once."""

    def __init__(self) -> None:
        super().__init__()
        self.killed: list[int] = []

    def made(self, expert: int, accuracy: float) -> None:
        super().made(expert, accuracy)
        if not self.killed:
            self.killed = [child for child in tasks() if not os.kill(child, signal.SIGKILL)]


def tasks() -> list[int]:
    """Return the processes that train on the cluster that this process started."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            started_by = Path(f"/proc/{parent}/cmdline").read_bytes()
        except OSError:
            continue
        # a session of Ray has the number of the process that started it
        if command.startswith(b"ray::_do") and f"_{os.getpid()}/".encode() in started_by:
            found.append(int(entry.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed")
@pytest.mark.filterwarnings("ignore")
def test_an_expert_of_a_lost_worker_is_trained_again(tmp_path: Path) -> None:
    settings: dict[str, Sequence[Any] | Any] = {"count": 4, "epochs": 400, "batch": 4}
    killer = Killer()
    trained(tmp_path / "e", DATA, ray="local", jobs=2, callback=killer, **settings)
    assert killer.killed and sorted(killer.ended) == list(range(4))
    trained(tmp_path / "whole", tiny_data(), **settings)
    assert files(tmp_path / "e") == files(tmp_path / "whole")
