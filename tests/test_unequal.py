"""Sets whose classes have different numbers of images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

import attar
from attar.artefact.exporting import export_png
from attar.artefact.snapshots import load_snapshots
from attar.budget import proportional
from attar.cli import run
from attar.errors import BadRequest
from attar.synthetic import Layout
from test_plan import data, plan, refused

COUNTS = (40, 12, 4)
UNEQUAL: dict[str, Any] = {"per_class_budget": "proportional"}


def pictures(counts: tuple[int, ...] = COUNTS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat(np.arange(len(counts)), counts)
    noise = np.random.default_rng(seed).integers(0, 90, (len(labels), 8, 8))
    return (noise + 70 * labels[:, None, None]).astype(np.uint8), labels


def made(**options: Any) -> attar.Artefact:
    usual = {"ipc": 3, "iterations": 3, "network": "convnet1:width=4", "validation": 0, **UNEQUAL}
    return attar.condense((pictures(), pictures(seed=1)), **{**usual, **options})


# sharing out


@given(st.lists(st.integers(1, 500), min_size=2, max_size=9), st.integers(0, 200))
def test_what_is_shared_out_adds_up_and_nobody_goes_without(sizes: list[int], more: int) -> None:
    rows = len(sizes) + more
    counts = proportional(sizes, rows)
    assert sum(counts) == rows and min(counts) >= 1
    after = proportional(sizes, rows + 1)
    assert all(old <= new for old, new in zip(counts, after, strict=True))
    # nobody could give an image to a class that deserves it more
    for size, count in zip(sizes, counts, strict=True):
        if count > 1:
            least = size / (2 * count - 1)
            assert all(s / (2 * c + 1) <= least for s, c in zip(sizes, counts, strict=True))


def test_shares_are_those_of_the_classes() -> None:
    assert proportional([900, 90, 10], 100) == (90, 9, 1)
    assert proportional([1000, 1, 1], 10) == (8, 1, 1)


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        # the memory of one image a class: three of 64 values, or six of rank 2
        ({"method": "dm", "ipc": 1}, (1, 1, 1)),
        ({"method": "dm", "ipc": 4}, (9, 2, 1)),
        ({"method": "lodm", "ipc": 2}, (9, 2, 1)),
        ({"method": "dm", "synthetic_per_class": 4}, (9, 2, 1)),
        ({"method": "dm", "max_bytes": 12 * 256 + 255}, (9, 2, 1)),
        ({"method": "random", "ipc": 4}, (9, 2, 1)),
    ],
)
def test_images_follow_the_classes_in_the_same_memory(
    options: dict[str, Any], counts: tuple[int, ...]
) -> None:
    found = plan(data((80, 16, 4)), **options, **UNEQUAL)
    assert found.layout.sizes() == counts
    assert found.layout.rows == sum(counts) and found.layout.per_class == max(counts)
    assert found.limit is None or found.ledger.paper <= found.limit


def test_equal_classes_are_shared_out_equally() -> None:
    asked, usual = (
        plan(data((20, 20, 20)), method="dm", ipc=2, per_class_budget=way)
        for way in ("proportional", "equal")
    )
    assert asked.layout == usual.layout and asked.identity == usual.identity


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "kfs"}, "in the form 'decoded'"),
        ({"method": "fastkfs"}, "in the form 'decoded'"),
        ({"method": "slimmable"}, "in the form 'ordered_svd'"),
        ({"method": "dm", "nested": True, "ipc": 4}, "for the objective 'nested'"),
        ({"method": "dm", "ipc": 40}, "120 images are more than the 100"),
        ({"method": "dm", "synthetic_per_class": 10**12}, "are more than the 100"),
    ],
)
def test_what_needs_equal_classes_refuses(options: dict[str, Any], said: str) -> None:
    assert said in refused(data((80, 16, 4)), **options, **UNEQUAL)


def test_another_way_is_unknown() -> None:
    with pytest.raises(BadRequest, match="unknown value of --per-class-budget 'fair'"):
        attar.Request(per_class_budget="fair")  # pyright: ignore[reportArgumentType]


def test_a_layout_knows_its_rows() -> None:
    layout = Layout(3, 4, (1, 2, 2), (2, 4, 1))
    assert [list(layout.rows_of(label)) for label in range(3)] == [[0, 1], [2, 3, 4, 5], [6]]
    assert [layout.place(row) for row in (0, 1, 2, 5, 6)] == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 3),
        (2, 0),
    ]
    assert layout.first(2).tolist() == [0, 1, 2, 3, 6]
    assert layout.class_of_row().tolist() == [0, 0, 1, 1, 1, 1, 2]
    for wrong in ((2, 4), (2, 4, 0), (2, 3, 1)):
        with pytest.raises(BadRequest):
            Layout(3, 4, (1, 2, 2), wrong)


# from data to results


@pytest.mark.parametrize(
    "method",
    ["dm", "lodm", "fastdm", "fastlodm", "dc", "dsa", "lodsa", "frepo", "random"],
)
def test_a_set_is_what_its_file_says(method: str, out: Path) -> None:
    options: dict[str, Any] = {"iterations": None} if method == "random" else {}
    artefact = made(method=method, output=out, **options)
    found = attar.load(out)
    assert found.header.class_counts is not None and sum(found.header.class_counts) == len(found)
    assert found.header.class_counts == sorted(found.header.class_counts, reverse=True)
    assert torch.equal(found.images, artefact.images)
    hard = found.synthetic.class_of_row
    assert torch.bincount(hard).tolist() == found.header.class_counts
    assert found.totals.images_per_class is None
    with safe_open(out, "pt") as file:
        (first, *_) = (name for name in sorted(file.keys()) if name.startswith("images"))
        assert len(file.get_tensor(first)) == len(found)
    assert "per_class_budget='proportional'" in found.header.provenance["command"]


class Killed(attar.Callback):
    def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
        if step == 3:
            raise MemoryError


def test_a_killed_run_goes_on_to_the_same_set(out: Path, tmp_path: Path) -> None:
    whole = made(method="dsa", output=tmp_path / "whole.safetensors", snapshots=2)
    kept = load_snapshots(tmp_path / "whole.snapshots.safetensors")
    assert torch.equal(kept[-1].images, whole.images)
    with pytest.raises(MemoryError):
        made(method="dsa", output=out, checkpoint_seconds=0, callback=Killed())
    with pytest.raises(BadRequest, match="images_per_class"):
        made(method="dsa", per_class_budget="equal", output=out, resume=True)
    assert torch.equal(made(method="dsa", output=out, resume=True).images, whole.images)


def test_a_killed_pool_goes_on_to_the_same_set(out: Path) -> None:
    # the second network has served once by then
    asked: dict[str, Any] = {
        "method": "fastdm",
        "iterations": 6,
        "settings": {"pool": 2, "refresh": 2, "batch": 2},
    }
    whole = made(**asked)
    with pytest.raises(MemoryError):
        made(**asked, output=out, checkpoint_seconds=0, callback=Killed())
    assert torch.equal(made(**asked, output=out, resume=True).images, whole.images)


def test_baselines_are_shared_out_alike(out: Path) -> None:
    artefact = made(method="dm", output=out)
    pair = (pictures(), pictures(seed=1))
    rows = attar.evaluate(out, pair, baselines="random,herding", epochs=1, repeats=1)
    assert [row.images_per_class for row in rows] == [None] * 3
    assert [row.bytes for row in rows] == [artefact.totals.all] * 3
    assert "in proportion" in rows[1].note


def test_commands_tell_the_numbers(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artefact = made(method="dm", output=out)
    counts = artefact.header.class_counts
    assert counts is not None
    assert run(["show", str(out)]) == 0
    assert f"{min(counts)} to {max(counts)} per class" in capsys.readouterr().out
    assert run(["show", str(out), "--json"]) == 0
    sizes = json.loads(capsys.readouterr().out)["sizes"]
    assert sizes["images_of_class"] == counts and sizes["images_per_class"] is None
    assert run(["slim", str(out), "--ipc", "1", "-o", str(out.with_name("s.safetensors"))]) == 2
    assert "as many of every class" in capsys.readouterr().err
    assert run(["show", str(out), "--ipc", "1"]) == 2
    assert "only a nested set" in capsys.readouterr().err


def test_pictures_and_pages_show_every_class_its_own(out: Path, tmp_path: Path) -> None:
    artefact = made(method="dm", output=out)
    counts = artefact.header.class_counts
    assert counts is not None
    assert export_png(artefact, tmp_path / "png") == len(artefact)
    for name, count in zip(artefact.header.class_names, counts, strict=True):
        assert len(list((tmp_path / "png" / name).iterdir())) == count
    assert run(["pictures", str(out), "-o", str(tmp_path / "p"), "--kind", "grid"]) == 0
    assert run(["report", str(out), "-o", str(tmp_path / "r.html")]) == 0
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert f"{min(counts)} to {max(counts)}" in page
    assert page.count("<img") == len(artefact)


def test_a_card_whose_numbers_do_not_fit_is_refused(out: Path) -> None:
    from attar.tensors import read_header, read_tensors, save_tensors

    made(method="dm", output=out)
    header, tensors = read_header(out), read_tensors(out)
    for wrong in ([1, 1], [0, 5, 3], [1, 1, 1], [10**12, 1, 1]):
        save_tensors(out, tensors, {**header, "class_counts": wrong})
        with pytest.raises(attar.ArtefactError):
            attar.load(out)


def test_coded_images_are_counted_as_they_are_shared_out() -> None:
    """A class of few images does not end the search for the most that fit."""
    found = made(method="random", storage="png", ipc=None, max_bytes=14_000, iterations=None)
    assert found.header.layout.sizes() == COUNTS
    asked = {"method": "random", "storage": "png", "per_class_budget": "proportional"}
    budget = 3_000
    few = plan(data((80, 16, 4)), max_bytes=budget, **asked)
    assert few.layout.rows > 16 and few.ledger.all <= budget
    more = {"synthetic_per_class": None, "max_bytes": few.ledger.all + 200}
    assert plan(data((80, 16, 4)), **more, **asked).layout.rows > few.layout.rows
