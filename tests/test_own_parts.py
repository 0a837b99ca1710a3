"""Methods, forms, objectives and selectors of one's own, by value, by name and by package."""

import dataclasses
import importlib.metadata
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import attar
from attar import registry
from attar.cli import run
from attar.compute import Compute
from attar.coresets import Selector
from attar.data import LabelledImages
from attar.data.reading import Watch
from attar.methods import METHODS, Method, Task
from attar.methods.recipe import Recipe
from attar.networks import Network
from attar.objectives import (
    OBJECTIVES,
    DistributionMatching,
)
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.synthetic import (
    PARAMETRIZATIONS,
    Layout,
    Parametrization,
    Tiled,
)
from attar.synthetic.forms.form import DENSE, Leaf
from attar.synthetic.stores import Store
from attar.training import EvaluationCard
from catalogue import tiny_data
from test_composition import SMALL, TASK, OfRows, condensed


def test_a_recipe_is_a_method() -> None:
    recipe = Recipe(
        objective=DistributionMatching(batch_real=4, augment="none"),
        parametrization=Tiled(2),
        optimisers={"images": Optimiser(0.5)},
        iterations=3,
        init="noise",
        network="convnet2:width=8",
        card="dc-300",
    )
    made = attar.condense(tiny_data(), method=recipe, validation=0, ipc=2)
    assert (made.header.method, made.header.step) == ("own", 3)
    assert made.header.provenance["command"].startswith("attar.condense(data, method=Recipe")


def own_method(name: str = "mine", **changes: Any) -> Method:
    def make(task: Task) -> Recipe:
        return dataclasses.replace(METHODS["dm"].recipe(task), **changes)

    return Method(name, "DM, only shorter", "nobody", make)


def test_a_method_as_a_value_runs_loads_and_slims_without_being_registered(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    made = condensed(method=own_method(iterations=2), ipc=2, output=path)
    assert made.header.method == "mine"
    code = f"""
    import attar
    made = attar.load({str(path)!r})
    assert made.header.method == "mine"
    smaller = attar.slim({str(path)!r}, 1, learning_free=True)
    assert smaller.header.images_per_class == 1
    attar.slim({str(path)!r}, 1, method="dm", iterations=1, network="convnet2:width=8")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_a_registered_method_is_one_of_the_methods(
    only_own: None, capsys: pytest.CaptureFixture[str]
) -> None:
    method = attar.register(own_method())
    assert METHODS["mine"] is method and "mine" in list(METHODS)
    assert run(["methods", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["methods"]
    assert {"name": "mine", "summary": "DM, only shorter", "paper": "nobody"} in listed
    assert condensed(method="mine").header.method == "mine"
    assert attar.register(method) is method
    with pytest.raises(attar.BadRequest, match="method 'mine' is there already"):
        attar.register(own_method(iterations=3))
    attar.register(own_method(iterations=3), replace=True)
    assert METHODS["mine"].recipe(TASK).iterations == 3


def test_a_method_with_anothers_name_is_refused() -> None:
    for replace in (False, True):
        with pytest.raises(attar.BadRequest, match="'dm' is there already"):
            attar.register(own_method("dm"), replace=replace)
    with pytest.raises(attar.BadRequest, match="method='dm': another method has this name"):
        condensed(method=own_method("dm"))
    with pytest.raises(attar.BadRequest, match=r"a name of letters, digits and _"):
        attar.register(own_method("my method"))
    with pytest.raises(attar.BadRequest, match=r"cannot be registered: give an attar\.Method"):
        attar.register(object())


@dataclass(frozen=True)
class Mirrored(Parametrization):
    name: ClassVar[str] = "mirrored"

    def build(self, layout: Layout, leaf: Leaf = DENSE) -> Store:
        return leaf.make(layout.rows, layout.shape)

    def values(self, layout: Layout, leaf: Leaf = DENSE) -> int:
        return layout.rows * leaf.values(layout.shape)

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}


def test_an_own_form_and_objective_are_known_by_name(only_own: None, tmp_path: Path) -> None:
    attar.register(Mirrored)
    attar.register(OfRows)
    assert "mirrored" in PARAMETRIZATIONS and OBJECTIVES["of_rows"] is OfRows
    path = tmp_path / "own.safetensors"
    condensed(method="dm", form="mirrored", ipc=2, objective="distribution+3*of_rows", output=path)
    assert attar.load(path).header.parametrization == {"name": "mirrored"}


@dataclass(frozen=True)
class Brightest(Selector):
    name: ClassVar[str] = "brightest"

    def choose(
        self,
        data: LabelledImages,
        sizes: Sequence[int],
        network: Network,
        compute: Compute,
        key: Key,
        watch: Watch | None = None,
    ) -> list[Tensor]:
        light = data.take(torch.arange(len(data))).flatten(1).mean(dim=1)
        return [
            own[light[own].argsort(descending=True)[:count]]
            for own, count in zip(data.indices_of_class, sizes, strict=True)
        ]


def test_an_own_selector_starts_a_set(only_own: None) -> None:
    with pytest.raises(attar.BadRequest, match="unknown value of --init 'brightest'"):
        condensed(method="dm", init="brightest")
    attar.register(Brightest)
    made = attar.condense(
        tiny_data(), method="dm", init="brightest", ipc=1, **SMALL | {"iterations": 0}
    )
    data = tiny_data()
    light = data.take(torch.arange(len(data))).flatten(1).mean(dim=1)
    assert made.images[0].mean().item() == pytest.approx(light[data.indices_of_class[0]].max())


def test_a_form_that_is_not_registered_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    condensed(method="dm", form=Mirrored(), ipc=2, output=path)
    with pytest.raises(attar.BadRequest, match="unknown form 'mirrored'"):
        attar.load(path)


def package(folder: Path, name: str, code: str, entry: str) -> None:
    (folder / f"{name}.py").write_text(textwrap.dedent(code))
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[attar.methods]\n{entry}\n")


def test_installed_packages_bring_methods(tmp_path: Path) -> None:
    code = """
    import dataclasses
    from attar import Method
    from attar.methods import METHODS

    def make(task):
        return dataclasses.replace(METHODS["dm"].recipe(task), iterations=1)

    METHOD = Method("brought", "from another package", "somebody", make)
    """
    package(tmp_path, "bringing", code, "brought = bringing:METHOD")
    package(tmp_path, "failing", "raise RuntimeError('not today')", "no = failing:METHOD")
    listed = subprocess.run(
        [sys.executable, "-m", "attar", "methods"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{':'.join(sys.path)}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "from another package" in listed.stdout
    assert "'no', which cannot be used: RuntimeError: not today" in " ".join(listed.stderr.split())


def test_the_group_of_entry_points_is_that_of_the_docs() -> None:
    assert registry.GROUP == "attar.methods"
    assert not [
        point
        for point in importlib.metadata.entry_points(group=registry.GROUP)
        if point.value.startswith("attar.")
    ]


def test_the_method_in_the_docs_runs() -> None:
    page = Path(__file__).parent.parent / "docs" / "condensing.md"
    block = page.read_text(encoding="utf-8").partition("## Your own method")[2]
    code = block.partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["SHORT"].recipe(TASK).iterations == 500
    assert condensed(method=names["SHORT"], ipc=1).header.method == "short"


def test_a_card_of_ones_own_is_one_of_the_cards(
    only_own: None, capsys: pytest.CaptureFixture[str]
) -> None:
    attar.register(EvaluationCard("my-card", "one epoch", 1, "none"))
    assert run(["cards", "--json"]) == 0
    assert "my-card" in [one["name"] for one in json.loads(capsys.readouterr().out)["cards"]]
    assert condensed(method="dm", card="my-card").header.settings["card"] == "my-card"
    with pytest.raises(attar.BadRequest, match="card 'dc-300' is there already"):
        attar.register(EvaluationCard("dc-300", "other", 1, "none"))


def test_the_examples_of_parts_are_known_by_name_once_imported() -> None:
    code = """
    import attar, own_card, own_network, own_selector

    made = attar.condense(
        "digits", method="dm", network="normed:width=8", init="typical", card="short-adam",
        iterations=1, validation=0, settings={"batch_real": 4},
    )
    row, = attar.evaluate(made, networks=["normed"], repeats=1, epochs=1)
    assert row.results[0].network == "normed"
    """
    examples = Path(__file__).parent.parent / "examples"
    path = os.pathsep.join([str(examples), os.environ.get("PYTHONPATH", "")])
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": path},
        check=True,
    )
