"""`--storage auto`: bits against images in one budget of bytes."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

import attar
from attar.condensing.planning import make_plan
from attar.condensing.request import Request
from attar.data import LabelledImages, Preprocessing, Splits
from attar.errors import BadRequest

NETWORK = "convnet2:width=8"
QUICK: dict[str, Any] = {
    "network": NETWORK, "torch_compile": "off", "precision": "float32", "device": "cpu",
}  # fmt: skip
AUTO: dict[str, Any] = {
    "method": "dm", "storage": "auto", "max_bytes": 3 * 1024, "validation": 0, **QUICK,
}  # fmt: skip


def bars(each: int = 30, classes: int = 3) -> Splits:
    """Return images of 16×16, classes of bright bars with noise."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(classes).repeat_interleave(each)
    pixels = torch.randint(0, 90, (len(labels), 1, 16, 16), generator=generator, dtype=torch.uint8)
    for label in range(classes):
        pixels[labels == label, :, 5 * label : 5 * label + 4] += 110
    names = tuple("abcdefgh"[:classes])
    train = LabelledImages(pixels, labels, names, Preprocessing((0.3,), (0.3,)), "bars")
    return Splits(train, None, source="bars")


class Watching(attar.Callback):
    def __init__(self) -> None:
        self.tried: list[int] = []

    def reading(self, what: str, done: int, total: int) -> None:
        if what == "trying storages":
            self.tried.append(done)


def test_what_is_chosen_is_told_and_repeats() -> None:
    watching = Watching()
    made = attar.condense(bars(), iterations=12, callback=watching, **AUTO)
    assert watching.tried == list(range(len(watching.tried))) and len(watching.tried) > 3
    assert made.totals.all <= 3 * 1024
    chosen = made.header.provenance["chosen"]
    assert chosen["by"] == "storage auto" and "trial runs of 10 updates" in chosen["why"]
    storage = chosen["options"]["storage"]
    assert chosen["why"] in made.header.notes[0]
    command = str(made.header.provenance["command"])
    assert storage in command and "auto" not in command
    again = attar.condense(bars(), iterations=12, **{**AUTO, "storage": storage})
    assert torch.equal(again.images, made.images)
    assert again.header.settings == made.header.settings
    told = attar.explain(bars(), iterations=12, **AUTO)
    assert told["chosen"] == chosen and storage in told["command"]


def test_coarser_storages_are_tried_as_long_as_they_hold_more_images() -> None:
    why = attar.explain(bars(), iterations=2, **AUTO)["chosen"]["why"]
    held = [int(part.split()[0]) for part in why.split("(")[1:]]
    assert all(fewer < more for fewer, more in itertools.pairwise(held))
    plenty = attar.explain(bars(8), iterations=2, **{**AUTO, "max_bytes": 7 * 3 * 1024})["chosen"]
    assert "float32" in plenty["why"] and "int8" not in plenty["why"]


def test_the_clock_bounds_the_trials() -> None:
    made = attar.condense(bars(), minutes=0.05, **AUTO)
    why = made.header.provenance["chosen"]["why"]
    assert "s each" in why


def test_a_resumed_run_keeps_the_choice(tmp_path: Path) -> None:
    asked = {**AUTO, "output": tmp_path / "a.safetensors"}
    # another than the trials would choose, so that it is plain whose it is
    attar.condense(bars(), iterations=4, **{**asked, "storage": "int2:rate=1.5"})
    watching = Watching()
    longer = attar.condense(bars(), iterations=8, resume=True, callback=watching, **asked)
    assert not watching.tried
    assert longer.header.settings["storage"] == "int2:rate=1.5"
    assert longer.header.provenance["chosen"]["why"] == "so the run began, and goes on"


def test_the_method_that_decides_goes_before_it() -> None:
    told = attar.explain(bars(), iterations=2, **{**AUTO, "method": None})
    assert told["chosen"]["by"] == "best and storage auto"
    assert told["method"] == "fastlodm" and "storage" in told["chosen"]["options"]


def test_learnt_labels_keep_more_bits_than_images() -> None:
    asked = {**AUTO, "method": "frepo", "zca": "none", "max_bytes": 4 * 1024}
    why = attar.explain(bars(), iterations=2, **asked)["chosen"]["why"]
    assert "float32 " in why and "int4:rate=3.5,labels=int8 " in why


def test_a_look_at_a_suite_tries_nothing() -> None:
    watching = Watching()
    plan = make_plan(
        Request(iterations=2, **AUTO), bars(), draft=True, tried=False, watch=watching.reading
    )
    assert plan.request.storage == "float32" and not watching.tried


@pytest.mark.parametrize(
    ("options", "classes", "refusal"),
    [
        ({"max_bytes": None, "synthetic_per_class": 2}, 3, "give --bytes or --ipc in place of"),
        ({"method": "random"}, 3, "'random' never updates images"),
        ({"method": "coded"}, 3, "leave both out, or give both"),
        (
            {"method": "slimmable", "zca": "none"},
            3,
            "the form 'ordered_svd' keeps no fewer bits, since",
        ),
        ({}, 1, "none can be held out"),
        ({"max_bytes": 6}, 3, "6 bytes"),
        ({"storage": "auto:rate=3"}, 3, "unknown value"),
    ],
)
def test_what_cannot_be_decided_is_refused(
    options: dict[str, Any], classes: int, refusal: str
) -> None:
    with pytest.raises(BadRequest, match=refusal):
        attar.condense(bars(classes=classes), **{**AUTO, **options})
