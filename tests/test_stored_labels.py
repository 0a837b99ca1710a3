"""Labels of a teacher that are stored for some epochs, in its place: what they are, and cost."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import attar
from attar.cli import run
from attar.data import Splits
from attar.errors import ArtefactError, BadRequest, RunFailed
from attar.evaluation.label_plan import LabelPlan
from attar.networks import build
from attar.rng import Key
from attar.storage import storage_of
from attar.tensors import read_header, read_tensors, save_tensors
from attar.training import card as find_card
from attar.training.evaluation_card import EvaluationCard
from attar.training.label_pool import Pool
from attar.training.label_store import NAME, Spool
from attar.training.schedules import steps
from attar.training.stored_labels import StoredLabels
from attar.training.trainer import Trainer
from catalogue import COMPUTE, NETWORK, tiny_data

try:
    import resource
except ImportError:  # Windows
    resource = None

CARD = find_card("rethinkdc", epochs=3)
IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(6) % 3


class Telling:
    """A teacher that counts the batches that it is asked about."""

    def __init__(self) -> None:
        self.module = build(NETWORK, 1, (8, 8), 3).draw(Key(9)).eval()
        self.asked = 0

    @torch.no_grad()
    def __call__(self, batch: Tensor) -> Tensor:
        self.asked += 1
        return self.module(batch)


def stored(
    teacher: Telling,
    epochs: int,
    kept_as: str = "float32",
    seed: int = 5,
    share: float = 1.0,
    card: EvaluationCard = CARD,
) -> StoredLabels:
    pool = Pool(epochs, share, Key(seed), card, len(IMAGES))
    return StoredLabels(teacher, pool, storage_of(kept_as), 3)


def trained(teacher: Any, *seeds: int) -> list[dict[str, Tensor]]:
    trainer = Trainer(build(NETWORK, 1, (8, 8), 3), COMPUTE)
    return trainer.fit(IMAGES, LABELS, CARD, CARD.strategy("x"), [Key(s) for s in seeds], teacher)


def differs(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return any(not torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_labels_of_all_epochs_are_what_the_teacher_says() -> None:
    # a student whose batches are those that are kept
    (live,) = trained(Telling(), 5)
    (kept,) = trained(stored(Telling(), 3), 5)
    assert not differs(live, kept)
    (half,) = trained(stored(Telling(), 3, "float16"), 5)
    (top,) = trained(stored(Telling(), 3, "top:keep=1"), 5)
    assert differs(live, half) and differs(half, top)
    assert all(torch.allclose(one, half[name], atol=1e-2) for name, one in live.items())


def test_pruned_epochs_ask_the_teacher_once_whoever_learns() -> None:
    teacher = Telling()
    labels = stored(teacher, 1)
    first, second = trained(labels, 1, 2)
    # one batch an epoch
    assert teacher.asked == 1 and differs(first, second)
    (again,) = trained(stored(Telling(), 1), 2)
    assert not differs(second, again)
    # as long a training as the pool is asked about
    long = find_card("rethinkdc", epochs=60)
    steps = [labels.step(one, Key(0)) for one in _steps(60)]
    assert {one.epoch for one in steps} == {0}
    wide = [stored(teacher, 4, card=long).step(one, Key(0)).epoch for one in _steps(60)]
    assert wide[:4] == [0, 1, 2, 3] and set(wide) == {0, 1, 2, 3}
    assert wide != [stored(teacher, 4, card=long).step(one, Key(1)).epoch for one in _steps(60)]


def _steps(epochs: int, card: EvaluationCard | None = None) -> list[Any]:
    return list(steps(card or find_card("rethinkdc", epochs=epochs), 6))


def test_a_share_of_the_batches_is_kept_and_taken_at_random() -> None:
    card = dataclasses.replace(find_card("rethinkdc", epochs=10), batch=4)
    # batches of 4 and of 2: those that are shorter are left out, as LPLD does
    labels = stored(Telling(), 10, share=0.5, card=card)
    kept = {one[:2] for one in labels.pool.batches}
    assert len(kept) == 5 and {one[2] for one in labels.pool.batches} == {4}
    assert labels.nbytes == 5 * 4 * 3 * 4 + 8
    taken = [labels.step(one, Key(0)) for one in _steps(10, card)]
    assert {(one.epoch, one.start) for one in taken} == kept
    for own, one in zip(_steps(10, card), taken, strict=True):
        assert one.lr == own.lr and one.size == 4
        if (own.epoch, own.start) in kept:
            assert (one.epoch, one.start) == (own.epoch, own.start)
    teacher = Telling()
    labels = stored(teacher, 10, share=0.5, card=card)
    trainer = Trainer(build(NETWORK, 1, (8, 8), 3), COMPUTE, vectorized=2)
    pair = trainer.fit(IMAGES, LABELS, card, card.strategy("x"), [Key(1), Key(2)], labels)
    assert teacher.asked == 5 and differs(*pair)


@pytest.mark.parametrize("storage", ["float16", "top:keep=1"])
def test_labels_are_kept_as_they_are_counted_and_in_a_file_once_they_are_many(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (held,) = trained(stored(Telling(), 3, storage), 5)
    # from the first byte on
    monkeypatch.setattr("attar.training.label_store._HELD", 1)
    (filed,) = trained(stored(Telling(), 3, storage), 5)
    assert not differs(held, filed)


def test_a_long_text_of_a_file_is_not_said_at_length(made: tuple[Path, str]) -> None:
    path, teacher = made
    data, labels = tiny_data(counts=(9, 14, 12)), path.with_name("long.labels.safetensors")
    asked: dict[str, Any] = {"repeats": 1, "epochs": 3, "device": "cpu", "labels": labels}
    attar.evaluate(path, (data, data), teacher=teacher, label_epochs=2, **asked)
    header, tensors = read_header(labels), read_tensors(labels)
    header["batches"]["mixing"] = ["\x1b"] * 9999
    save_tensors(labels, tensors, header)
    with pytest.raises(BadRequest, match="of batches with mixing") as refused:
        attar.evaluate(path, (data, data), **asked)
    assert len(refused.value.text) < 400 and "\x1b" not in refused.value.text
    labels.unlink()


@pytest.mark.skipif(resource is None, reason="limits of files are of Unix")
@pytest.mark.parametrize("labels", [9, 2**21])
def test_a_disk_that_is_full_ends_the_run_in_words(tmp_path: Path, labels: int) -> None:
    # 9 are held in memory, 12 MiB times two in a file
    spool = Spool(storage_of("float32"), labels, 3, tmp_path)
    some = {NAME: torch.zeros(9, 3)}
    assert resource is not None
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, before[1]))
    try:
        with pytest.raises(RunFailed, match=r"could not (be kept|write)"):
            spool.put(0, some)
            spool.save(tmp_path / "kept.safetensors", {})
        # nor when it is closed
        del spool
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_a_teacher_that_says_no_numbers_is_refused() -> None:
    class Lost(Telling):
        def __call__(self, batch: Tensor) -> Tensor:
            return torch.full((len(batch), 3), 1e6)

    with pytest.raises(RunFailed, match="too large for --label-storage float16"):
        trained(stored(Lost(), 1, "float16"), 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("stored") / "set.safetensors"
    data = tiny_data(counts=(9, 14, 12))
    attar.condense(
        Splits(data, data),
        method="rded",
        ipc=2,
        output=out,
        network=NETWORK,
        teacher=NETWORK,
        settings=("epochs=1", "crop_pool=6"),
        device="cpu",
    )
    return out, str(out.with_suffix(".teacher.safetensors"))


def test_rows_count_the_labels_in_place_of_the_teacher(made: tuple[Path, str]) -> None:
    path, teacher = made
    data = tiny_data(counts=(9, 14, 12))

    def rows(**more: Any) -> dict[tuple[str, str], Any]:
        found = attar.evaluate(
            path, (data, data), teacher=teacher, repeats=1, epochs=3, device="cpu", **more
        )
        return {(row.kind, row.labels): row for row in found}

    found = rows(label_epochs=2, baselines="random")
    pixels = 6 * 64 * 4
    taken = 2 * 6 * 3 * 2 + 8
    for kind in ("condensed", "random"):
        assert found[kind, "taught"].bytes == pixels + taken
        assert "of 2 epochs, stored as float16" in found[kind, "taught"].note
    fewer = rows(label_epochs=2, label_storage="top:keep=1")["condensed", "taught"]
    assert fewer.bytes == pixels + 2 * 6 * (2 * 2 + 1) + 8
    pruned = rows(label_epochs=2, label_share=0.5)["condensed", "taught"]
    assert pruned.bytes == pixels + 6 * 3 * 2 + 8 and "0.5 of the batches of 2" in pruned.note


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"label_epochs": 4}, "from 1 to 3, as many as students are trained for"),
        ({"label_epochs": 0}, "from 1 to 3"),
        ({"label_epochs": 1, "teacher": None}, "labels of epochs are a teacher's; name it"),
        ({"label_epochs": 1, "label_storage": "int4"}, "float16, float32, bfloat16 or float8, or"),
        ({"label_storage": "top"}, "--label-storage top: of the labels that --label-epochs keeps"),
        ({"label_epochs": 1, "label_storage": "top"}, "a label has 3 values; keep from 1 to 2"),
        ({"label_epochs": 1, "label_share": 1.5}, "--label-share 1.5: the share of the batches"),
        ({"label_share": 0.5}, "--label-share 0.5: of the labels that --label-epochs keeps"),
        ({"labels": "no.safetensors"}, "there is no such file; to have it made, give the teacher"),
        ({"label_epochs": 1, "epochs": None, "updates": 3}, "counts updates; give"),
    ],
)
def test_what_cannot_be_stored_is_refused(
    made: tuple[Path, str], options: dict[str, Any], said: str
) -> None:
    path, teacher = made
    data = tiny_data(counts=(9, 14, 12))
    asked = {"teacher": teacher, "epochs": 3, "repeats": 1, "device": "cpu"} | options
    with pytest.raises(BadRequest, match=said):
        attar.evaluate(path, (data, data), **asked)


def test_the_command_line(made: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    path, teacher = made
    assert run(["evaluate", str(path), "--label-epochs", "2"]) == 2
    assert "name it with --teacher" in capsys.readouterr().err
    asked = ["--teacher", teacher, "--label-epochs", "2", "--label-storage", "int4"]
    assert run(["evaluate", str(path), *asked]) == 2
    assert "--label-storage int4: float16" in capsys.readouterr().err


def test_labels_are_kept_in_a_file_and_need_no_teacher_then(
    made: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, teacher = made
    data = tiny_data(counts=(9, 14, 12))
    labels = path.with_suffix(".labels.safetensors")

    def taught(**more: Any) -> Any:
        asked = {"repeats": 1, "epochs": 3, "device": "cpu", "labels": labels} | more
        found = attar.evaluate(path, (data, data), **asked)
        return next(row for row in found if row.labels == "taught")

    first = taught(teacher=teacher, label_epochs=2, label_share=0.5)
    # names, bytes and results are those of the teacher, which is not here any more
    again = taught()
    assert again == dataclasses.replace(first, results=again.results)
    assert [one.mean for one in again.results] == [one.mean for one in first.results]
    kept = read_tensors(labels)["labels.values"]
    # what is counted, but for the key
    assert kept.dtype == torch.float16 and 2 * kept.numel() == 36
    # with the teacher random images are labelled alike
    assert taught(teacher=teacher, baselines="random").bytes == first.bytes
    assert run(["show", str(path)]) == 0
    assert "0.5 of the batches of 2 epochs by" in capsys.readouterr().out
    assert run(["show", str(path), "--json"]) == 0
    assert '"file": "set.labels.safetensors"' in capsys.readouterr().out

    for more, said in (
        ({"teacher": teacher, "label_epochs": 1}, "--label-epochs 1: .* holds labels with 2"),
        ({"label_storage": "float32"}, "--label-storage float32: .* with float16"),
        ({"epochs": 1}, "are of 2 epochs, and students are trained for 1"),
        ({"epochs": None, "updates": 5}, "are of 2 epochs, and .* counts updates"),
        ({"card": "sre2l"}, "batches with augmentation"),
    ):
        with pytest.raises(BadRequest, match=said):
            taught(**more)
    other = tmp_path / "other.safetensors"
    attar.condense(data, method="random", ipc=2, output=other, card="rethinkdc", device="cpu")
    assert "labels_beside" in attar.describe(path) and "labels_beside" not in attar.describe(other)
    shutil.copy(labels, other.with_suffix(".labels.safetensors"))
    assert "labels_beside" not in attar.describe(other)
    with pytest.raises(BadRequest, match="these labels are of another set"):
        attar.evaluate(other, (data, data), labels=labels, repeats=1, epochs=3, device="cpu")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda said, kept: said | {"format": "attar.teacher"}, "holds no labels"),
        (lambda said, kept: said | {"share": 0}, "holds no labels"),
        (lambda said, kept: said | {"epochs": -1}, "holds no labels"),
        (lambda said, kept: said | {"epochs": 3}, "does not hold the 18×3 labels"),
        (lambda said, kept: said | {"storage": "int4"}, "stored in no known way"),
        (lambda said, kept: kept.fill_(float("nan")) is None or said, "are no numbers"),
    ],
)
def test_a_file_of_labels_is_not_trusted(
    made: tuple[Path, str], tmp_path: Path, change: Any, said: str
) -> None:
    path, teacher = made
    data, labels = tiny_data(counts=(9, 14, 12)), tmp_path / "one.labels.safetensors"
    asked: dict[str, Any] = {"repeats": 1, "epochs": 3, "device": "cpu", "labels": labels}
    attar.evaluate(path, (data, data), teacher=teacher, label_epochs=2, **asked)
    header, tensors = read_header(labels), read_tensors(labels)
    header = change(header, tensors["labels.values"])
    save_tensors(labels, tensors, header)
    with pytest.raises(ArtefactError, match=said):
        attar.evaluate(path, (data, data), **asked)


def test_a_folder_in_place_of_a_file_is_refused_by_its_option(
    made: tuple[Path, str], tmp_path: Path
) -> None:
    path, teacher = made
    data = tiny_data(counts=(9, 14, 12))
    for more in ({}, {"teacher": teacher, "label_epochs": 2}):
        asked: dict[str, Any] = {"epochs": 3, "repeats": 1, "labels": tmp_path} | more
        with pytest.raises(BadRequest, match=r"--labels .* is a directory; name a file, such as"):
            attar.evaluate(path, (data, data), **asked)


def test_a_second_run_that_keeps_labels_in_the_same_file_is_refused_before_work(
    made: tuple[Path, str], tmp_path: Path
) -> None:
    path, teacher = made
    data, labels = tiny_data(counts=(9, 14, 12)), tmp_path / "new/one.labels.safetensors"
    asked: dict[str, Any] = {"teacher": teacher, "label_epochs": 2, "labels": labels}
    asked |= {"epochs": 3, "repeats": 1, "device": "cpu"}
    refused: list[str] = []

    class Meanwhile(attar.EvaluationCallback):
        def said(self, text: str) -> None:
            if not refused:
                refused.append("")
                with pytest.raises(BadRequest, match="another run is writing it") as error:
                    attar.evaluate(path, (data, data), callback=Unheard(), **asked)
                refused[0] = str(error.value)

    class Unheard(attar.EvaluationCallback):
        def said(self, text: str) -> None:
            raise AssertionError(text)

    attar.evaluate(path, (data, data), callback=Meanwhile(), **asked)
    assert "--labels" in refused[0] and "wait for its end" in refused[0]
    assert [one.name for one in labels.parent.iterdir()] == [labels.name]
    # the second one now takes what the first has kept
    attar.evaluate(path, (data, data), **asked)
    # and one that another has kept between its plan and its turn is not written over
    kept = labels.read_bytes()
    plan = LabelPlan(2, 1.0, "float16", 0, labels)
    with pytest.raises(BadRequest, match="another run has just written it"), plan.kept_alone():
        pass
    assert labels.read_bytes() == kept


def test_nothing_is_kept_of_a_run_that_ends_early(made: tuple[Path, str], tmp_path: Path) -> None:
    path, teacher = made
    data, labels = tiny_data(counts=(9, 14, 12)), tmp_path / "one.labels.safetensors"

    class Stop(attar.EvaluationCallback):
        def trained(self, row: str, network: str, repeat: int, accuracy: float | None) -> None:
            if "teacher" in row:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attar.evaluate(
            path, (data, data), teacher=teacher, label_epochs=2, labels=labels, epochs=3,
            repeats=1, device="cpu", callback=Stop(),
        )  # fmt: skip
    assert not list(tmp_path.iterdir())
