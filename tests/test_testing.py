"""`attar.testing`: parts that hold, and what it finds in those that do not."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import attar
from attar.coresets import SELECTORS, Herding, RandomImages, Selector
from attar.objectives import DistributionMatching, Match, Objective
from attar.synthetic import Layout, Pixels
from attar.testing import (
    NotConforming,
    check_form,
    check_network,
    check_objective,
    check_selector,
)
from catalogue import tiny_data

ROOT = Path(__file__).parent.parent
GOOD = DistributionMatching(batch_real=5)


@dataclasses.dataclass(frozen=True)
class Changed(Objective):
    """Distribution matching with its outcome changed."""

    name: ClassVar[str] = "changed"

    change: Callable[[Match], Match]

    def match(self, images: Tensor, labels: Tensor, *rest: Any) -> Match:
        return self.change(GOOD.match(images, labels, *rest))


def climbing(match: Match) -> Match:
    assert match.images is not None
    return dataclasses.replace(match, images=-match.images)


def restless(match: Match) -> Match:
    return dataclasses.replace(match, loss=match.loss + torch.rand(()))


def flat(match: Match) -> Match:
    assert match.images is not None
    return dataclasses.replace(match, images=match.images.flatten(1))


def refusing(match: Match) -> Match:
    raise attar.BadRequest("not today")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (climbing, "do not lower the loss"),
        (restless, "match called twice gives two results"),
        (flat, "a gradient for images of another shape"),
        (refusing, "everything is refused: not today"),
    ],
)
def test_an_objective_that_does_not_hold(change: Callable[[Match], Match], text: str) -> None:
    with pytest.raises(NotConforming, match=text):
        check_objective(Changed(change), learned_labels=[False])


def test_an_objective_that_holds_but_for_its_loss() -> None:
    found = check_objective(Changed(climbing), lowers=False, learned_labels=[False])
    assert not any(one.refused for one in found)


def test_a_form_that_is_not_registered() -> None:
    class Mine(Pixels):
        name = "mine"

    with pytest.raises(
        NotConforming, match=r"'mine': it is not registered.*attar.register\(Mine\)"
    ):
        check_form(Mine())


def test_a_form_that_counts_what_it_does_not_store(monkeypatch: pytest.MonkeyPatch) -> None:
    class Modest(Pixels):
        name = "modest"

        def values(self, layout: Layout, *leaf: Any) -> int:
            return 1

    monkeypatch.setattr("attar.synthetic.PARAMETRIZATIONS._added", {})
    attar.register(Modest)
    with pytest.raises(NotConforming, match=r"takes 4 bytes \(paper\), and stores 1536"):
        check_form(Modest())


def test_forms_of_attar_hold() -> None:
    assert len(check_form(Pixels(), objectives={"distribution": GOOD})) == 4


def test_networks() -> None:
    only = {"distribution": GOOD}
    own = nn.Sequential(nn.Flatten(), nn.Linear(48, 9), nn.Tanh(), nn.Linear(9, 5))
    assert len(check_network(own, (1, 6, 8), 5, objectives=only)) == 1
    assert len(check_network("convnet2:width=8", (3, 8, 8), 30, objectives=only)) == 1
    with pytest.raises(attar.BadRequest, match="unknown network"):
        check_network("convent2")


def test_selectors_that_hold() -> None:
    for kind in SELECTORS.own.values():
        selector = kind(epochs=1) if kind is not RandomImages else kind()  # pyright: ignore[reportCallIssue]
        assert not any(one.refused for one in check_selector(selector))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda own: own[:1].repeat(len(own)), "is chosen twice"),
        (lambda own: own.float(), "not int64"),
        (lambda own: own[1:], "images of class 0, not"),
        (lambda own: own[torch.randperm(len(own))], "one key gives two choices"),
    ],
)
def test_a_selector_that_does_not_hold(change: Callable[[Tensor], Tensor], text: str) -> None:
    @dataclasses.dataclass(frozen=True)
    class Odd(RandomImages):
        name = "odd"

        def choose(self, *given: Any) -> list[Tensor]:
            return [change(own) for own in super().choose(*given)]

    with pytest.raises(NotConforming, match=text):
        check_selector(Odd())


def test_a_registered_selector_is_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SELECTORS, "_added", {})

    @attar.register
    class First(RandomImages):
        name = "first"

        def choose(self, data: Any, sizes: Any, *rest: Any, **named: Any) -> list[Tensor]:
            return [own[:size] for own, size in zip(data.indices_of_class, sizes, strict=True)]

    assert issubclass(First, Selector) and check_selector(First())
    data = tiny_data()
    made = attar.condense(data, method="dm", ipc=1, init="first", iterations=0, validation=0)
    rows = torch.stack([own[0] for own in data.indices_of_class])
    assert torch.equal(made.images, data.take(rows))
    assert Herding(epochs=1).name in SELECTORS


def own_source() -> dict[str, str]:
    """Return the environment in which another folder finds this source."""
    return {**os.environ, "PYTHONPATH": str(Path(attar.__file__).parents[1])}


def test_the_example_runs_from_outside_the_package(tmp_path: Path) -> None:
    example = ROOT / "examples" / "own_method.py"
    assert len(example.read_text(encoding="utf-8").splitlines()) <= 100
    data = tiny_data(counts=(6, 6), size=16)
    np.savez(
        tmp_path / "tiny.npz",
        train_images=data.images[:, 0].numpy(),
        train_labels=data.labels.numpy(),
        test_images=data.images[:, 0].numpy(),
        test_labels=data.labels.numpy(),
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", example, "npz:tiny.npz", "2"],
        cwd=tmp_path,
        env=own_source(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "mirrored_moments (last iterate): " in done.stdout
    assert "random real images: " in done.stdout
    checks = (
        "import own_method as own, attar.testing as testing\n"
        "moments, mirrored = own.Moments(5), own.Mirrored()\n"
        "testing.check_objective(moments, forms=[mirrored], learned_labels=[False])\n"
        "testing.check_form(mirrored, objectives={'own': moments})\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", checks],
        cwd=example.parent,
        env=own_source(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_networks_of_vectors_are_checked() -> None:
    # its strategy of augmentation, which is for pictures, is left out
    only = {"distribution": DistributionMatching(batch_real=5)}
    (found,) = check_network("mlp:width=8", (6,), objectives=only)
    assert not found.refused
