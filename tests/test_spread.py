"""Real images that several processes choose: the same ones, bit for bit."""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import attar
from attar.cli import run
from attar.condensing.planning import make_plan
from attar.condensing.request import Request
from attar.coresets import SELECTORS, Chosen, Crops, Herding, StudyingSelector
from attar.coresets import spread as spreading
from attar.coresets.spread import spread
from attar.data import LabelledImages, Splits
from attar.errors import BadRequest, RunFailed
from attar.networks import build
from attar.parallel import Ended, Here, Task
from attar.rng import Key
from catalogue import COMPUTE, NETWORK, tiny_data, worker_processes

DATA = tiny_data(counts=(9, 14, 3, 8, 10))
STUDYING = [name for name in SELECTORS if issubclass(SELECTORS[name], StudyingSelector)]


class Several(Here):
    """Does tasks in this process, and notes which; as one of several it ends the last one first."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[str] = []

    def free(self) -> bool:
        return len(self._ended) < 3

    def submit(self, task: Task) -> None:
        self.keys.append(task.key)
        super().submit(task)

    def wait(self, seconds: float) -> Any:
        return [self._ended.pop()]


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[Several]:
    found = Several()
    monkeypatch.setattr(spreading, "_room", lambda *asked: found)
    yield found
    spreading._STUDIES.clear()


def chosen(name: str, watch: Any = None, **settings: Any) -> Chosen:
    channels, height, width = DATA.shape
    selector = SELECTORS[name](**{"epochs": 2, "batch_selection": 9, **settings})
    network = build(NETWORK, channels, (height, width), DATA.classes)
    sizes = [2, 4, 5, 1, 3]
    return selector.chosen(DATA, sizes, network, COMPUTE, Key(3), watch)


def same(one: Chosen, other: Chosen) -> bool:
    pairs = [
        (getattr(one, name) or [], getattr(other, name) or [])
        for name in ("rows", "labels", "images")
    ]
    return all(
        len(a) == len(b)
        and all(x.dtype == y.dtype and x.equal(y) for x, y in zip(a, b, strict=True))
        for a, b in pairs
    )


@pytest.mark.parametrize("name", STUDYING)
def test_workers_choose_what_one_process_does(name: str, room: Several) -> None:
    alone = chosen(name)
    told: list[tuple[str, int, int]] = []
    with spread(2):
        shared = chosen(name, lambda *what: told.append(what))
    assert same(shared, alone)
    assert [len(own) for own in alone.rows] == [2, 4, 3, 1, 3]
    assert room.keys == [f"classes {label} to {label}" for label in range(5)]
    assert [done for what, done, _ in told if what.startswith("classes chosen")] == [1, 2, 3, 4, 5]


def test_classes_are_shared_out_in_parts_of_a_few(room: Several) -> None:
    with spread(1):
        chosen("herding")
    assert not room.keys
    data = tiny_data(counts=(3,) * 11)
    channels, height, width = data.shape
    network = build(NETWORK, channels, (height, width), data.classes)
    with spread(2):
        Herding(epochs=1).choose(data, [1] * 11, network, COMPUTE, Key(0))
    assert room.keys[:3] == ["classes 0 to 1", "classes 2 to 3", "classes 4 to 5"]
    assert len(room.keys) == 8 and room.keys[-1] == "classes 10 to 10"


def test_what_a_worker_finds_wrong_is_said(room: Several, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*asked: Any) -> Any:
        raise RunFailed("features are NaN")

    monkeypatch.setattr(StudyingSelector, "of_class", failing)
    with spread(2), pytest.raises(RunFailed, match="features are NaN"):
        chosen("herding")


# in processes of their own


@pytest.fixture
def source(tmp_path: Path) -> str:
    return saved(DATA, tmp_path / "tiny.npz")


def saved(data: LabelledImages, path: Path) -> str:
    images, labels = data.images[:, 0].numpy(), data.labels.numpy()
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return f"npz:{path}"


ASKED: dict[str, Any] = {
    "synthetic_per_class": 2,
    "network": "convnet2:width=8,norm=batch",
    "settings": {"epochs": 2, "batch_selection": 9},
}


def test_the_file_is_that_of_one_process(source: str, tmp_path: Path) -> None:
    files = [tmp_path / name / "set.safetensors" for name in ("alone", "shared")]
    for path, workers in zip(files, (1, 2), strict=True):
        path.parent.mkdir()
        attar.condense(source, method="rded", workers=workers, output=path, **ASKED)
    assert not worker_processes()
    # the teacher, too, which this process trains once
    for name in ("set.safetensors", "set.teacher.safetensors"):
        one, other = (path.with_name(name).read_bytes() for path in files)
        assert one == other
    # one that is on disk is read by every worker
    taught = {**ASKED, "teacher": str(files[0].with_name("set.teacher.safetensors"))}
    taught["settings"] = {"crops": 2}
    one, other = (attar.condense(source, method="rded", workers=n, **taught) for n in (1, 2))
    assert one.images.equal(other.images) and one.labels.equal(other.labels)


def test_a_worker_that_is_lost_is_told(room: Several, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = Ended("classes 0 to 0", lost="process was ended by SIGKILL")
    monkeypatch.setattr(room, "wait", lambda seconds: [lost])
    said = r"chose images of classes 0 to 0 was lost: its process was ended by SIGKILL.*--resume"
    with spread(2), pytest.raises(RunFailed, match=said):
        chosen("herding")


@dataclasses.dataclass(frozen=True)
class Own(Crops):
    """Crops of a module that no worker finds."""


def test_selectors_that_other_processes_do_not_find_are_refused() -> None:
    channels, height, width = DATA.shape
    network = build(NETWORK, channels, (height, width), DATA.classes)
    with spread(2), pytest.raises(BadRequest, match=r"No module named 'test_spread'.*--workers"):
        Own(epochs=1).chosen(DATA, [1] * 5, network, COMPUTE, Key(0))
    assert not worker_processes()


def test_networks_that_other_processes_do_not_find_are_refused(source: str) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(DATA.shape), DATA.classes))
    asked = {**ASKED, "network": net, "workers": 2}
    with pytest.raises(BadRequest, match=r"do not find what chooses.*give a network by name"):
        attar.condense(source, method="herding", **asked)


# on a cluster


def test_a_cluster_is_asked_for_as_many(room: Several, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    asked: list[Any] = []

    def cluster(*address: Any, **how: Any) -> Several:
        asked.append((address, how))
        return room

    monkeypatch.setattr(spreading, "Cluster", cluster)
    alone = chosen("kcenter")
    with spread(3, "ray://host:10001"):
        assert same(chosen("kcenter"), alone)
    assert asked == [(("ray://host:10001", 3), {"retries": 2})] and room.keys


# what is refused, and what is not


def test_more_workers_than_classes_are_refused_before_a_training(
    source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in (["--explain"], ["-o", "set.safetensors"]):
        asked = ["condense", source, "--method", "rded", "--images-per-class", "1", *more]
        assert run([*asked, "--workers", "6"]) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert "--workers 6: the set has 5 classes, and a worker needs one at least" in said
    assert run([*asked[:-2], "--explain", "--workers", "5"]) == 0


def test_ranks_are_refused_before_images_are_chosen() -> None:
    request = Request(method="herding", synthetic_per_class=1, workers=2)
    with pytest.raises(BadRequest, match=r"2 ranks: method 'herding' makes no updates.*--workers"):
        make_plan(request, Splits(DATA, DATA))
    with spread(2):
        assert make_plan(request, Splits(DATA, DATA)).request.workers == 2


def test_images_drawn_at_random_need_no_looking_at(source: str) -> None:
    one, other = (
        attar.condense(source, method="random", synthetic_per_class=2, workers=n) for n in (1, 2)
    )
    assert one.images.equal(other.images)


def test_the_plan_tells_of_workers_only_where_they_choose(
    source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = "(one process draws, --workers 2 changes nothing), network"
    for method, said in (("random", drawn), ("coded", drawn), ("herding", ", 2 workers of ")):
        budget = ["--bytes", "2000"] if method == "coded" else ["--images-per-class", "1"]
        asked = ["condense", source, "--method", method, *budget, "--workers", "2", "--explain"]
        assert run(asked) == 0
        told = capsys.readouterr()
        line = next(one for one in (told.out + told.err).splitlines() if "compute:" in one)
        assert said in line and (said is not drawn or "2 workers" not in line), line
