"""Smaller sets from a set alone: dropped, drawn at random, or learnt."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import attar
from attar import data
from attar.artefact.artefact import Artefact
from attar.artefact.header import Header
from attar.cli import run
from attar.data import Preprocessing
from attar.errors import ArtefactError, BadRequest
from attar.slimming.components import as_data, ordered
from attar.slimming.request import SlimRequest
from attar.synthetic import (
    Layout,
    LowRank,
    OrderedSVD,
    Parametrization,
    Pixels,
    Synthetic,
    Tiled,
    first_components,
)
from attar.synthetic.forms.ordered import OrderedImages

SHAPE = (1, 8, 8)
LEARNING: dict[str, Any] = {
    "network": "convnet2:width=8,norm=batch",
    "iterations": 4,
    "settings": ("pool=2", "age=3"),
    "device": "cpu",
    "precision": "float32",
    "torch_compile": "off",
}


def learning(**changes: Any) -> dict[str, Any]:
    """Return the options of a short run with some of them changed."""
    return {**LEARNING, **changes}


def condensed(
    per_class: int = 6, form: Parametrization | None = None, *, soft: bool = False
) -> Artefact:
    """Return a set of three classes, each with a bright band of its own."""
    form = form or Pixels()
    layout = Layout(3, per_class, SHAPE)
    synthetic = Synthetic(layout, form, learned_labels=soft)
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(layout.rows, *SHAPE, generator=generator) * 0.5
    for row, own in enumerate(layout.class_of_row().tolist()):
        images[row, :, 2 * own : 2 * own + 3] += 1.5
    synthetic.images.fit(images)
    if synthetic.labels is not None:
        labels = torch.nn.functional.one_hot(layout.class_of_row(), 3) - 1 / 3
        synthetic.labels.fit(labels + 0.05 * torch.randn(labels.shape, generator=generator))
    synthetic.settle()
    header = Header(
        class_names=["a", "b", "c"],
        shape=SHAPE,
        images_per_class=per_class,
        parametrization=form.describe(),
        learned_labels=soft,
        mean=[0.4],
        std=[0.25],
        method="dm",
        settings={"card": "dc-300", "network": "convnet2:width=8"},
        provenance={"source": "nowhere:at-all", "dataset": "bands", "command": "…"},
    )
    return Artefact(header, synthetic.requires_grad_(False), Preprocessing((0.4,), (0.25,)))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "large.safetensors"
    condensed().save(path)
    return path


FORMS = [Pixels(), LowRank(4), Tiled(2), OrderedSVD(), OrderedSVD(share="class")]


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("soft", [False, True])
def test_every_artefact_becomes_components_without_loss(form: Parametrization, soft: bool) -> None:
    given = condensed(8, form, soft=soft)
    found = ordered(given)
    images, labels = found(torch.arange(24))
    assert torch.allclose(images, given.images, atol=1e-5)
    if soft:
        assert torch.allclose(labels, given.labels, atol=1e-6)
    else:
        assert torch.equal(labels.argmax(1), given.labels)
        assert torch.allclose(labels.sum(1), torch.zeros(24), atol=1e-5)
    assert isinstance(found.images, OrderedImages)
    assert bool((found.images.significance.diff(dim=1) <= 0).all())


@pytest.mark.parametrize(("before", "after"), [("all", "class"), ("class", "all")])
def test_components_are_shared_as_it_is_asked(before: str, after: str) -> None:
    given = condensed(6, OrderedSVD(share=before), soft=True)
    images, labels = given.images, given.labels
    found = ordered(given, after)
    assert isinstance(found.images, OrderedImages)
    assert len(found.images.significance) == (3 if after == "class" else 1)
    again, soft = found(torch.arange(18))
    assert torch.allclose(again, images, atol=1e-5) and torch.allclose(soft, labels, atol=1e-5)
    made = attar.slim(given, 2, learning_free=True, share=after)
    assert isinstance(made, Artefact) and made.header.parametrization["share"] == after
    kept = attar.slim(given, 2, learning_free=True)
    assert isinstance(kept, Artefact) and kept.header.parametrization["share"] == before


def test_what_is_dropped_is_the_least_of_each_class() -> None:
    """With a U and Σ for each class and labels that weigh nothing, this is a truncated SVD."""
    given = condensed(6, soft=True)
    assert given.synthetic.labels is not None
    with torch.no_grad():
        given.synthetic.labels.get_parameter("values").mul_(0)
    kept = first_components(ordered(given, "class"), 2, expand=True)
    images, _ = kept(torch.arange(18))
    for own in range(3):
        rows = given.images[own * 6 : own * 6 + 6].flatten(1).double().numpy()
        left, scale, right = np.linalg.svd(rows, full_matrices=False)
        best = left[:, :2] * scale[:2] @ right[:2]
        assert np.allclose(images[own * 6 : own * 6 + 6].flatten(1).numpy(), best, atol=1e-5)


@pytest.mark.parametrize("ipc", [1, 2, 5])
def test_learning_free_costs_the_bytes_it_says(ipc: int, saved: Path, tmp_path: Path) -> None:
    before = saved.read_bytes()
    made = attar.slim(saved, ipc, learning_free=True, output=tmp_path / "small.safetensors")
    assert isinstance(made, Artefact)
    assert made.header.images_per_class == ipc and len(made) == 3 * ipc
    assert made.totals.paper == ipc * 3 * 64 * 4 == made.header.budget["limit"]
    loaded = attar.load(tmp_path / "small.safetensors")
    assert torch.equal(loaded.images, made.images) and torch.equal(loaded.labels, made.labels)
    assert loaded.nbytes == made.nbytes
    # the class of each image can still be told
    assert torch.equal(made.labels.argmax(1), made.synthetic.class_of_row)
    assert saved.read_bytes() == before


def test_expanding_keeps_the_images_and_stores_their_coefficients() -> None:
    made = attar.slim(condensed(), 2, learning_free=True, expand=True)
    assert isinstance(made, Artefact)
    assert made.header.images_per_class == 6
    assert made.totals.paper == 2 * 3 * 64 * 4
    # components, their labels, U and Σ
    assert made.totals.all == 4 * (2 * 3 * 64 + 2 * 3 * 3 + 6 * 2 + 2)


def test_slimming_twice_without_learning_is_slimming_once() -> None:
    whole = condensed(6, OrderedSVD(), soft=True)
    once = attar.slim(whole, 2, learning_free=True, expand=True)
    twice = attar.slim(whole, (4, 2), learning_free=True, expand=True)
    assert isinstance(once, Artefact) and isinstance(twice, list)
    assert [one.totals.paper for one in twice] == [4 * 768, 2 * 768]
    assert torch.allclose(once.images, twice[1].images, atol=1e-5)
    assert torch.allclose(once.labels, twice[1].labels, atol=1e-5)


def test_what_was_measured_of_the_whole_is_not_told_of_a_part() -> None:
    given = condensed()
    given.header = given.header.model_copy(update={"validation": 55.0, "nested": True})
    made = attar.slim(given, 2, random=True)
    assert isinstance(made, Artefact)
    assert made.header.validation is None and not made.header.nested


def test_the_artefact_itself_is_never_written_over(saved: Path) -> None:
    before = saved.read_bytes()
    with pytest.raises(BadRequest, match="that is the artefact to be slimmed"):
        attar.slim(saved, 2, learning_free=True, output=saved, overwrite=True)
    assert saved.read_bytes() == before


def test_what_was_kept_without_learning_is_resumed_where_it_is_the_same(
    saved: Path, tmp_path: Path
) -> None:
    output = tmp_path / "small.safetensors"
    made = attar.slim(saved, 2, learning_free=True, output=output)
    time_of = output.stat().st_mtime_ns
    again = attar.slim(saved, 2, learning_free=True, output=output, resume=True)
    assert isinstance(made, Artefact) and isinstance(again, Artefact)
    assert torch.equal(made.images, again.images) and output.stat().st_mtime_ns == time_of
    with pytest.raises(BadRequest, match=r"--resume: .* was made otherwise"):
        attar.slim(saved, 2, random=True, output=output, resume=True)


@pytest.mark.parametrize("form", [Pixels(), LowRank(2), OrderedSVD()], ids=str)
def test_random_keeps_images_as_they_are(form: Parametrization) -> None:
    given = condensed(6, form, soft=isinstance(form, OrderedSVD))
    made = attar.slim(given, 2, random=True, seed=4)
    again = attar.slim(given, 2, random=True, seed=4)
    other = attar.slim(given, 2, random=True, seed=5)
    assert isinstance(made, Artefact) and isinstance(again, Artefact)
    assert isinstance(other, Artefact)
    assert made.totals.paper <= 2 * 768 and torch.equal(made.images, again.images)
    assert not torch.equal(made.images, other.images)
    distances = torch.cdist(made.images.flatten(1), given.images.flatten(1))
    nearest = distances.argmin(dim=1)
    assert float(distances.min(dim=1).values.max()) < 1e-4
    assert len(set(nearest.tolist())) == len(made)
    assert torch.equal(nearest // 6, made.synthetic.class_of_row)


def test_what_holds_of_the_larger_set_is_not_said_of_the_smaller() -> None:
    given = condensed(6, OrderedSVD(), soft=True)
    given.header.step, given.header.validation, given.header.iterate = 900, 50.0, "selected"
    made = attar.slim(given, 2, learning_free=True)
    assert isinstance(made, Artefact)
    assert (made.header.step, made.header.validation, made.header.iterate) == (0, None, "last")
    assert made.header.provenance["slimmed"]["method"] == "dm"


def test_significances_that_do_not_fall_are_put_in_order_first() -> None:
    given = condensed(4, OrderedSVD(), soft=True)
    shuffled = condensed(4, OrderedSVD(), soft=True)
    images, labels = shuffled.synthetic.images, shuffled.synthetic.labels
    assert isinstance(images, OrderedImages) and labels is not None
    with torch.no_grad():
        images.coefficients.copy_(images.coefficients.flip(-1))
        images.significance.copy_(images.significance.flip(-1))
        for tensor in (*images.components.parameters(), *labels.parameters()):
            tensor.copy_(tensor.view(4, 3, -1).flip(0).reshape(tensor.shape))
    one, other = (attar.slim(each, 2, learning_free=True) for each in (given, shuffled))
    assert isinstance(one, Artefact) and isinstance(other, Artefact)
    assert torch.allclose(one.images, other.images, atol=1e-5)


def test_half_precision_counts_as_it_is_stored() -> None:
    given = condensed(6)
    made = attar.slim(given, 2, learning_free=True, storage="float16")
    assert isinstance(made, Artefact)
    assert made.header.images_per_class == 4 and made.totals.paper == 2 * 768
    again = attar.slim(made, 1, learning_free=True)
    assert isinstance(again, Artefact)
    assert again.header.images_per_class == 2 and again.totals.paper == 768


def test_random_keeps_as_many_low_rank_images_as_fit() -> None:
    # an image of rank 2 takes half the bytes of a full one
    made = attar.slim(condensed(6, LowRank(2)), 2, random=True)
    assert isinstance(made, Artefact) and made.header.images_per_class == 4


@pytest.mark.parametrize("method", ["slimmable", "dm", "frepo"])
def test_learning_opens_no_source(
    method: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a source was opened")

    for name in ("load_source", "as_splits"):
        monkeypatch.setattr(data, name, refuse)
        monkeypatch.setattr("attar.condensing.condense.as_splits", refuse)
    settings = () if method == "dm" else LEARNING["settings"]
    options = learning(method=method, settings=settings)
    made = attar.slim(condensed(), 2, **options, output=tmp_path / "small.safetensors")
    assert isinstance(made, Artefact)
    assert made.header.step == 4 and made.header.images_per_class == 2
    assert made.header.provenance["slimmed"]["by"] == method
    # what it was made from in the beginning stays told, so that it can be evaluated
    assert made.header.provenance["source"] == "nowhere:at-all"
    assert made.header.provenance["dataset"] == "bands"


def test_learning_sends_as_many_images_a_call_as_memory_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("attar.compute.GRAPH", 1)
    made = attar.slim(condensed(), 2, **learning(iterations=1))
    assert isinstance(made, Artefact) and made.header.settings["compute"]["chunk"] == 1


def test_learning_begins_with_the_drop_and_lowers_the_loss() -> None:
    losses: list[float] = []

    class Noting(attar.Callback):
        def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
            losses.append(loss)

    given = condensed()
    dropped = attar.slim(given, 2, learning_free=True)
    options = learning(settings=("pool=1", "age=100000", "lr_network=1e-9"), lr=0.02, iterations=40)
    unmoved = attar.slim(given, 2, **{**options, "iterations": 0})
    assert isinstance(dropped, Artefact) and isinstance(unmoved, Artefact)
    assert torch.allclose(unmoved.images, dropped.images, atol=1e-6)
    assert torch.allclose(unmoved.labels, dropped.labels, atol=1e-6)
    attar.slim(given, 2, **options, callback=Noting())
    assert losses[-1] < 0.7 * losses[0]


def test_learning_can_begin_with_images_drawn_at_random() -> None:
    given = condensed()
    kept = attar.slim(given, 2, random=True)
    made = attar.slim(given, 2, **learning(iterations=0, init="random"))
    assert isinstance(kept, Artefact) and isinstance(made, Artefact)
    distances = torch.cdist(made.images.flatten(1), kept.images.flatten(1))
    assert float(distances.min(dim=1).values.max()) < 1e-4
    assert made.header.settings["init"] == "random"


def test_sizes_one_after_another_are_each_made_from_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    made = attar.slim(condensed(), [4, 2], **LEARNING, output=path)
    assert isinstance(made, list) and not path.exists()
    first, second = tmp_path / "set-ipc4.safetensors", tmp_path / "set-ipc2.safetensors"
    alone = attar.slim(first, 2, **LEARNING)
    assert isinstance(alone, Artefact)
    assert torch.equal(alone.images, attar.load(second).images)
    assert made[1].header.provenance["slimmed"]["from"] == first.name
    assert made[1].header.provenance["slimmed"]["before"]["images_per_class"] == 6


def test_a_killed_slimming_leaves_the_input_and_goes_on_to_the_same_set(
    saved: Path, tmp_path: Path
) -> None:
    options = learning(iterations=400, checkpoint_seconds=0.0)
    code = textwrap.dedent(
        f"""
        import torch; torch.set_num_threads(1)
        import attar
        attar.slim({str(saved)!r}, 2, output={str(tmp_path / "small.safetensors")!r}, **{options})
        """
    )
    before = saved.read_bytes()
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    child = subprocess.Popen([sys.executable, "-c", code], env=alone)
    checkpoint = tmp_path / "small.checkpoint.safetensors"
    deadline = time.monotonic() + 300
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert checkpoint.exists() and not (tmp_path / "small.safetensors").exists()
    assert saved.read_bytes() == before
    resumed = attar.slim(saved, 2, output=tmp_path / "small.safetensors", resume=True, **options)
    whole = attar.slim(saved, 2, output=tmp_path / "whole.safetensors", **options)
    assert isinstance(resumed, Artefact) and isinstance(whole, Artefact)
    assert torch.equal(resumed.images, whole.images) and torch.equal(resumed.labels, whole.labels)
    assert sorted(p.name for p in tmp_path.iterdir() if "checkpoint" in p.name) == []


@pytest.mark.parametrize(
    ("ipc", "options", "message"),
    [
        (
            6,
            {},
            "--ipc 6: the artefact takes the memory of 6 images per class already; at most 5",
        ),
        (60, {"learning_free": True}, "--ipc 60: the artefact takes"),
        (0, {}, "--ipc 0: a whole number of images per class, 1 or more"),
        (-2, {}, "--ipc -2: a whole number"),
        ("two", {}, "--ipc two: a whole number"),
        (True, {}, "--ipc True: a whole number"),
        ((2, 4), {}, "--ipc 2,4: each must be smaller than the one before"),
        (None, {}, "--ipc is missing"),
        (2, {"learning_free": True, "random": True}, "not both"),
        (2, {"learning_free": True, "iterations": 5}, "--iterations 5: nothing is trained"),
        (2, {"random": True, "minutes": 5.0}, "--minutes 5.0: nothing is trained"),
        (2, {"random": True, "lr": 0.1}, "--lr 0.1: nothing is trained"),
        (2, {"learning_free": True, "settings": "first=0"}, "--set first=0: nothing is trained"),
        (2, {"learning_free": True, "card": "nonsense"}, "unknown card 'nonsense'"),
        (2, {"share": "some"}, "unknown value of --share 'some'"),
        (2, {"random": True, "method": "dm"}, "--method dm: it trains"),
        (2, {"expand": True, "method": "dm"}, "--expand: only the components"),
        (2, {"init": "noise"}, "unknown value of --init 'noise'"),
        (2, {"init": "random", "method": "dm"}, "--init random: another start"),
        (2, {"method": "dn"}, "unknown method 'dn'"),
        (2, {"method": "herding"}, "--method herding: it chooses real images"),
        (2, {"method": "mtt"}, "--method mtt: it follows expert trajectories"),
        (2, {"learning": True}, "unknown option 'learning'"),
        (2, {"settings": ("skew=-1",)}, "--set skew=-1"),
        (2, {"storage": "float9"}, "storage"),
        (2, {"iterations": -1}, "--iterations -1"),
        (2, {"network": "convnet9"}, "convnet9"),
    ],
)
def test_refused(ipc: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        attar.slim(condensed(), ipc, **options)
    assert message in str(caught.value)


def test_a_file_that_is_no_artefact_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.safetensors"
    path.write_text("these are notes")
    with pytest.raises(ArtefactError, match="is not a safetensors file"):
        attar.slim(path, 1)
    with pytest.raises(ArtefactError, match="no such file"):
        attar.slim(tmp_path / "missing.safetensors", 1)


def test_data_of_an_artefact_are_its_images() -> None:
    given = condensed(soft=True)
    found = as_data(given)
    index = torch.tensor([4, 11])
    assert torch.equal(found.take(index), given.images[index])
    assert torch.equal(found.target(index), given.labels[index])
    assert found.name == "bands"


def test_the_command(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out.safetensors"
    options = ["--ipc", "3,1", "--learning-free", "-o", str(output), "--json"]
    assert run(["slim", str(saved), *options]) == 0
    facts = json.loads(capsys.readouterr().out)["slimmed"]
    assert [one["ipc"] for one in facts] == [3, 1]
    assert [one["paper_bytes"] for one in facts] == [3 * 768, 768]
    made = attar.load(tmp_path / "out-ipc1.safetensors")
    command = made.header.provenance["command"]
    assert command == (
        "attar slim out-ipc3.safetensors --ipc 1 --learning-free -o out-ipc1.safetensors"
    )
    assert run(["slim", str(saved), "--ipc", "1", "--learning-free", "-o", str(saved)]) == 2
    assert "that is the artefact to be slimmed" in capsys.readouterr().err


def test_the_request_of_a_size_says_what_was_asked() -> None:
    request = SlimRequest("4,2", iterations=7, lr=0.1, output=Path("a/b.safetensors"))
    run = request.run_of(2, "float16")
    assert (run.ipc, run.iterations, run.lr, run.storage) == (2, 7, 0.1, "float16")
    assert run.output == Path("a/b-ipc2.safetensors")
