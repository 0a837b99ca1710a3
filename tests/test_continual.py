"""Class-incremental learning from a memory: `attar.continual`."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import attar
from attar import BadRequest, LabelledImages
from attar.applications.continual.classes import class_order, division
from attar.applications.continual.memory import parse_memory
from attar.applications.continual.page import write_several
from attar.applications.continual.replay import Replay
from attar.applications.continual.results import ContinualResult
from attar.applications.continual.telling import ContinualCallback
from attar.cli import run as attar_command
from attar.condensing.telling import Callback
from attar.errors import Interrupted

QUICK: dict[str, Any] = {
    "classes": 5,
    "per_class": 12,
    "network": "convnet1:width=4",
    "updates": 2,
    "repeats": 1,
    "validation": 0,
    "device": "cpu",
}
DM: dict[str, Any] = {**QUICK, "method": "dm", "iterations": 4, "settings": "batch_real=4"}
FACTORS: dict[str, Any] = {**DM, "method": "lodm", "settings": "batch_real=4"}


def quick(steps: int = 2, memory: str = "1ipc", **options: Any) -> Any:
    given: Any = {**QUICK, "method": "random", **options}
    return attar.continual("digits", steps, memory, **given)


def test_classes_arrive_step_by_step_and_none_is_left_out(tmp_path: Path) -> None:
    said = Said()
    result = quick(3, output=tmp_path, callback=said)
    assert result.division == (2, 2, 1) and [p.seen for p in result.points] == [2, 4, 5]
    assert "5 classes arrive in 3 steps of 2, 2, 1: they do not divide evenly" in "\n".join(
        said.lines
    )
    assert {name for one in result.steps for name in one.classes} == set("01234")
    assert [p.paper_bytes for p in result.points] == [2 * 256, 4 * 256, 5 * 256]
    assert [p.forgetting is None for p in result.points] == [True, False, False]
    told = json.loads((tmp_path / "results.json").read_text())
    assert told["points"][-1]["mean"] == result.points[-1].mean
    assert told["command"].startswith("attar continual digits --steps 3 --memory 1ipc")
    page = (tmp_path / "continual.html").read_text()
    assert "<svg" in page and "Forgetting" in page and "Run it again" in page
    assert ContinualResult.load(tmp_path / "results.json") == result
    write_several(tmp_path / "both.html", "Two runs", {"Digits": [result, result]})
    assert "2 runs" in (tmp_path / "both.html").read_text()


def test_the_memory_is_what_was_condensed_of_each_step(tmp_path: Path) -> None:
    last = quick(output=tmp_path, **DM).steps[-1]
    parts = [attar.load(tmp_path / one) for one in last.memory]
    assert [part.header.class_names for part in parts] == [
        list(one.classes) for one in quick(output=tmp_path, **DM).steps
    ]
    # a part is made of the images of its classes alone, under the constants of all
    train = attar.load_source("digits", classes=5, per_class=12).train
    own: Any = {n: DM[n] for n in ("method", "iterations", "settings", "network", "validation")}
    again = attar.condense(train.of_classes(parts[1].header.class_names), ipc=1, **own)
    assert torch.equal(again.images, parts[1].images)
    assert "--classes" in str(parts[1].header.provenance["command"])


class Said(ContinualCallback):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def said(self, line: str) -> None:
        self.lines.append(line)


class Stream:
    """Rows that are there only while their class arrives."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self._images, self._labels = images, labels
        self.there: set[int] | None = None

    shape = property(lambda self: self._images.shape)
    dtype = property(lambda self: self._images.dtype)
    device = property(lambda self: self._images.device)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: Any) -> Tensor:
        asked = set(self._labels[index].tolist())
        assert self.there is None or asked <= self.there, "an earlier step's image was read"
        return self._images[index]


@pytest.mark.parametrize("memory", ["2ipc", "8images"])
def test_only_the_memory_crosses_a_step(memory: str) -> None:
    splits = attar.load_source("digits", classes=4, per_class=12)
    train, labels = splits.train, splits.train.labels
    stream = Stream(train.images[:], labels)
    given = LabelledImages(stream, labels, train.class_names, train.preprocessing, "digits")  # pyright: ignore[reportArgumentType]

    class Arriving(ContinualCallback):
        def step(self, order: int, step: int, classes: Sequence[str]) -> None:
            stream.there = {train.class_names.index(name) for name in classes}

    options: Any = {n: v for n, v in DM.items() if n not in ("classes", "per_class")}
    if memory == "8images":
        options["slim_iterations"] = 1
    result = attar.continual(
        (given, splits.test),
        2,
        memory,
        **options,
        callback=Arriving(),
    )
    assert stream.there is not None and len(result.steps) == 2


class Killed(Exception):
    pass


class Kills(ContinualCallback):
    """Ends the run at its n-th event, as a killed process does."""

    def __init__(self, after: int) -> None:
        self.left = after

    def count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed

    def step(self, order: int, step: int, classes: Sequence[str]) -> None:
        self.count()

    def condensing(self) -> Callback:
        kills = self

        class Within(Callback):
            def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
                kills.count()

        return Within()

    def trained(self, repeat: int, accuracy: float | None) -> None:
        self.count()


def test_a_run_goes_on_where_it_was_killed_to_the_same_result(tmp_path: Path) -> None:
    options = {**DM, "slim_iterations": 2, "checkpoint_seconds": 0.0}
    whole = quick(memory="8images", output=tmp_path / "whole", **options)
    folder, again = tmp_path / "killed", None
    while again is None:
        # each time a little further: in condensing, slimming, training and between steps
        with contextlib.suppress(Killed):
            again = quick(memory="8images", output=folder, **options, callback=Kills(6))
    assert [one.accuracies for one in again.steps] == [one.accuracies for one in whole.steps]
    assert again.points == whole.points
    for one in whole.steps[-1].memory:
        assert torch.equal(
            attar.load(folder / one).images, attar.load(tmp_path / "whole" / one).images
        )
    # what is there is not done again, and more orders can be asked for
    more = quick(memory="8images", output=folder, **options, orders=2)
    assert more.steps[: len(whole.steps)] == again.steps and len(more.steps) == 4
    with pytest.raises(BadRequest, match=r"another run is there.*--overwrite"):
        quick(memory="8images", output=folder, **options, seed=1)
    assert quick(output=folder, overwrite=True).orders == 1
    (folder / "order-1" / "step-2.json").write_text("{}")
    with pytest.raises(BadRequest, match=r"step-2.json: damaged"):
        quick(output=folder)


@pytest.mark.usefixtures("minding_ctrl_c")
@pytest.mark.parametrize("kept", [True, False])
def test_a_stopped_run_says_how_it_goes_on(kept: bool, tmp_path: Path) -> None:
    class Stops(ContinualCallback):
        def condensing(self) -> Callback:
            class Within(Callback):
                def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
                    signal.raise_signal(signal.SIGINT)

            return Within()

    output = tmp_path / "run" if kept else None
    words = "order 1, step 1; the same command goes on" if kept else "step 1; nothing is kept"
    with pytest.raises(Interrupted, match=words):
        quick(output=output, **DM, callback=Stops())
    if kept:
        assert len(quick(output=output, **DM).steps) == 2


def test_help_speaks_of_its_own_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        attar_command(["continual", "--help"])
    told = capsys.readouterr().out
    assert "--memory or --bandwidth says bytes" in " ".join(told.replace("│", " ").split())
    assert "--bytes" not in told and "--explain" not in told


def test_a_memory_for_all_classes_never_exceeds_unless_the_paper_is_repeated() -> None:
    memory, shape = parse_memory("500images"), (3, 32, 32)
    seen = [20, 40, 60, 80, 100]
    assert [memory.per_class(one, shape, "down") for one in seen] == [25, 12, 8, 6, 5]
    assert [memory.per_class(one, shape, "paper") for one in seen] == [25, 13, 9, 7, 5]
    assert parse_memory("1.5MB").per_class(100, shape, "down") == 1
    sizes = dict[str, list[int]]()
    for rounding in ("down", "paper"):
        result = quick(3, "9images", rounding=rounding, slimming="random")
        sizes[rounding] = [p.images_per_class or 0 for p in result.points]
        over = [p.overrun for p in result.points]
        assert over == ([0, 0, 0] if rounding == "down" else [256, 3 * 256, 256])
        assert [p.paper_bytes - o <= 9 * 256 for p, o in zip(result.points, over, strict=True)]
    assert sizes == {"down": [4, 2, 1], "paper": [5, 3, 2]}


@pytest.mark.parametrize("slimming", [None, "learning-free", "random", "frepo", "dm"])
@pytest.mark.parametrize("options", [DM, FACTORS], ids=["dm", "lodm"])
def test_a_memory_is_slimmed_in_every_way(
    slimming: str | None, options: dict[str, Any], tmp_path: Path
) -> None:
    trains = slimming not in ("learning-free", "random")
    more = {"slim_iterations": 1} if trains else {}
    result = quick(memory="8images", slimming=slimming, output=tmp_path, **{**options, **more})
    first, last = attar.load(tmp_path / result.steps[1].memory[0]), result.points[-1]
    assert first.header.provenance["slimmed"]["images_per_class"] >= 2
    assert last.images_per_class == 1 and last.paper_bytes <= 8 * 256
    assert {one.network for one in result.steps} == {"convnet1:width=4"}
    # one protocol before and after the first slimming
    assert len({one.card for one in result.steps}) == 1


def test_label_values_of_a_part_become_those_of_all() -> None:
    made = attar.condense(
        "digits", method="frepo", ipc=1, classes=3, per_class=12, iterations=0, device="cpu"
    )
    plain = attar.condense(
        "digits", method="random", ipc=1, classes="7,8", per_class=12, zca="frepo", device="cpu"
    )
    replay = Replay((made, plain))
    assert replay.class_names == ["0", "1", "2", "7", "8"]
    card = replay.card(None, None, 3, "digits")
    given = replay.training_set(card, 1)
    # where nothing was learnt: one-hot minus 1/K over √(K/10) with the K of all
    wanted = (torch.eye(5) - 1 / 5) / (5 / 10) ** 0.5
    assert torch.allclose(given.labels, wanted, atol=1e-6) and len(given.images) == 5


def test_class_orders_are_those_of_the_authors() -> None:
    # numpy.random.seed(0); numpy.random.permutation(10), numpy 2
    assert class_order("0123456789", [5, 5], 0) == [list("28491"), list("67305")]
    assert division(100, 7) == [15, 15, 14, 14, 14, 14, 14]


@pytest.mark.parametrize(
    ("steps", "memory", "options", "message"),
    [
        (6, "1ipc", {}, "--steps 6: there are 5 classes"),
        (0, "1ipc", {}, "--steps 0"),
        (2, "4images", {}, "holds 4 full float32 images, fewer than one of each of 5 classes"),
        (2, "0.5kB", {}, "fewer than one of each of 5 classes"),
        (2, "10B/class", {}, "holds no image per class"),
        (2, "20", {}, "of what"),
        (2, "0ipc", {}, "at least one image"),
        (2, "many", {}, "write 20ipc"),
        (2, "5kB/step", {}, "write 20ipc|Write 20ipc"),
        (2, "1ipc", {"ipc": 1}, "--memory .*says"),
        (2, "1ipc", {"rounding": "paper"}, "divides nothing"),
        (2, "1ipc", {"slimming": "dm"}, "never shrinks"),
        (2, "1ipc", {"orders": 0}, "--orders 0"),
        (2, "8images", {"slimming": "herding"}, "herding"),
        (2, "8images", {"slimming": "mtt"}, "trajector"),
        (
            2,
            "8images",
            {"slimming": "random", "slim_iterations": 3},
            "--slim-iterations 3: ",
        ),
        (2, "8images", {"slimming": "random", "slim_lr": 0.1}, "--slim-lr 0.1: nothing is trained"),
        (2, "8images", {**DM, "slim_lr": -1.0}, "--slim-lr -1"),
        (2, "8images", {**DM, "slim_settings": "nosuch=3"}, "nosuch"),
        (2, "1ipc", {"slim_settings": "pool=3"}, "--slim-set: a memory of 1ipc grows"),
        (2, "1ipc", {"slim_lr": 0.1}, "--slim-lr: a memory of 1ipc grows"),
        (2, "1ipc", {"slim_lr": 0.0}, "--slim-lr: a memory of 1ipc grows"),
        (2, "8images", {"per_class_budget": "proportional"}, "as many images of every class"),
        (2, "8images", {"method": "dm", "card": "dsa-1000"}, "--card dsa-1000"),
        (2, "1ipc", {"method": "dd"}, "--updates: --card dd trains by exactly the steps"),
        (2, "1ipc", {"method": "mtt"}, "--method mtt.*by itself: .*dm"),
        (5, "1ipc", {"method": "dsa"}, "--method dsa.*telling classes apart.*by itself: .*dm"),
        (5, "8images", {"method": "dm"}, "--slimming slimmable"),
        (2, "1ipc", {"test_share": 0}, "no test images"),
        (2, "1ipc", {"method": "nosuch"}, "nosuch"),
        (2, "1ipc", {"nosuch": 1}, "nosuch"),
        (1, "1ipc", {"classes": 1}, "digits has one class"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    steps: int, memory: str, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(BadRequest, match=message):
        quick(steps, memory, output=tmp_path / "run", **options)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_one_class_at_a_time() -> None:
    result = quick(5, **DM)
    assert result.points[0].mean == 100 and len(result.points) == 5


def test_the_title_names_the_method_that_condensed() -> None:
    usual = {"minutes": 0.01, "classes": "2"}
    assert quick(1, "600B/class", method=None, **usual).title == "best on digits, 600B/class"


def test_the_command_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "continual digits --classes 4 --per-class 12 --steps 2 --memory 8images --method dm"
    words += " --iterations 2 --set batch_real=4 --validation 0 --network convnet1:width=4"
    words += " --updates 2 --repeats 1 --device cpu --slimming frepo --slim-iterations 1"
    words += f" --slim-lr 0.003 --slim-set pool=2 --slim-set age=5 --json -o {tmp_path / 'run'}"
    assert attar_command(words.split()) == 0
    told = json.loads(capsys.readouterr().out)
    four: dict[str, Any] = {**DM, "classes": 4, "iterations": 2}
    result = attar.continual(
        "digits",
        2,
        "8images",
        **four,
        slimming="frepo",
        slim_iterations=1,
        slim_lr=0.003,
        slim_settings={"pool": 2, "age": 5},
        output=tmp_path / "again",
    )
    slimmed = attar.load(tmp_path / "again" / result.steps[1].memory[0]).header.settings
    assert slimmed["optimisers"]["images"]["lr"] == 0.003
    assert [one["accuracies"] for one in told["steps"]] == [
        list(one.accuracies) for one in result.steps
    ]
    assert told["command"].startswith("attar continual digits --steps 2 --memory 8images")
    assert "--slim-set pool=2 age=5" in told["command"] and "--method dm" in told["command"]
    assert attar_command(["continual", "digits", "--steps", "2", "--memory", "1ipc"]) == 2


def test_the_example_runs(tmp_path: Path) -> None:
    example = Path(__file__).parent.parent / "examples" / "continual_memories.py"
    assert len(example.read_text().splitlines()) <= 60
    words = [sys.executable, str(example), "digits", "2", "1ipc", "random,dm", str(tmp_path), "2"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].startswith("dm") and (tmp_path / "dm").is_dir()
