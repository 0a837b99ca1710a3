"""What a suite may say, what its sizes change, and what is refused before any work."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attar.benching import read_suite
from attar.benching.cells import Making, Measuring, expand, slug, widened
from attar.benching.checking import check_against_data, check_names, with_sources
from attar.benching.pricing import Prices
from attar.benching.sizes import at_size, smallest
from attar.benching.suite import Suite
from attar.errors import BadRequest

FULL = """
name: table
title: A table
datasets:
  cifar10: cifar10
  mnist: {source: mnist, classes: 5}
methods:
  - random
  - {method: lodm, name: LoDM 4, rank: 4, lr: 1e-3, compile: off, set: {batch_real: 64}}
  - dm
budgets: [1, {ipc: 10}, 120kB]
networks: [convnet3, resnet18]
seeds: 2
repeats: 3
evaluation: {card: dsa-1000, epochs: 50}
options: {iterations: 7, validation: 0}
skip:
  - {dataset: mnist, budget: 10}
  - {method: dm, network: resnet18}
  - {method: [random], dataset: cifar10, budget: 120kB}
sizes:
  paper: {}
  laptop:
    datasets: [cifar10]
    methods: [random, LoDM 4]
    budgets: [1]
    networks: [convnet3]
    seeds: [5]
    repeats: 1
    classes: 3
    per_class: 20
    width: 16
    minutes: 0.5
    epochs: 4
    shrinks: told as well
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_suite_expands_to_every_cell_that_is_not_skipped(tmp_path: Path) -> None:
    suite = read_suite(write(tmp_path, FULL))
    makings, measurings = expand(suite)
    wanted = {
        (dataset, method, budget, seed)
        for dataset in ("cifar10", "mnist")
        for method in ("random", "LoDM 4", "dm")
        for budget in ("ipc 1", "ipc 10", "120kB")
        for seed in (0, 1)
        if (dataset, budget) != ("mnist", "ipc 10")
        and (dataset, method, budget) != ("cifar10", "random", "120kB")
    }
    assert {(one.dataset, one.method, one.budget, one.seed) for one in makings} == wanted
    networks = {
        (one.making.dataset, one.making.method, one.making.budget, one.making.seed, one.network)
        for one in measurings
    }
    assert networks == {
        (*cell, network)
        for cell in wanted
        for network in ("convnet3", "resnet18")
        if (cell[1], network) != ("dm", "resnet18")
    }
    keys = [one.key for one in (*makings, *measurings)]
    assert len(set(keys)) == len(keys)


def test_options_reach_the_methods_that_they_are_meant_for(tmp_path: Path) -> None:
    makings, measurings = expand(read_suite(write(tmp_path, FULL)))
    first = {one.method: one for one in makings if one.budget == "120kB" and one.seed == 1}
    assert first["random"].options == {"method": "random", "bytes": "120kB", "seed": 1}
    request = first["LoDM 4"].request()
    assert request.lr == 1e-3 and request.torch_compile == "off" and request.rank == 4
    assert request.settings == ("batch_real=64",) and request.iterations == 7
    assert request.validation == 0 and request.max_bytes == "120kB" and request.seed == 1
    assert first["dm"].request().lr is None
    assert first["dm"].reading == {"classes": 5}
    one = measurings[0]
    assert (one.card, one.epochs, one.repeats, one.whole) == ("dsa-1000", 50, 3, False)


def test_work_survives_the_way_to_another_process(tmp_path: Path) -> None:
    for work in (one for found in expand(read_suite(write(tmp_path, FULL))) for one in found):
        assert pickle.loads(pickle.dumps(work)) == work


def test_a_size_changes_what_it_names_and_tells_it(tmp_path: Path) -> None:
    sized = at_size(read_suite(write(tmp_path, FULL)), None)
    assert sized.size == "laptop" and not sized.full
    makings, measurings = expand(sized.suite)
    assert [(one.dataset, one.method, one.budget, one.seed) for one in makings] == [
        ("cifar10", "random", "ipc 1", 5),
        ("cifar10", "LoDM 4", "ipc 1", 5),
    ]
    random, lodm = makings
    assert random.reading == lodm.reading == {"classes": 3, "per_class": 20}
    # the length of the size replaces that of the suite
    assert lodm.options["minutes"] == 0.5 and "iterations" not in lodm.options
    assert "minutes" not in random.options
    assert lodm.options["network"] == random.options["network"] == "convnet3:width=16"
    assert {(m.network, m.epochs, m.repeats) for m in measurings} == {("convnet3:width=16", 4, 1)}
    told = " | ".join(sized.shrinks)
    for part in (
        "datasets: cifar10 (without mnist)",
        "methods: random, LoDM 4 (without dm)",
        "budgets: ipc 1 (without ipc 10, 120kB)",
        "networks: convnet3 (without resnet18)",
        "the first 3",
        "at most 20 training images",
        "width 16",
        "0.5 min",
        "epochs of evaluation networks: 4",
        "1 in place of 2",
        "1 in place of 3",
        "told as well",
    ):
        assert part in told


def test_a_size_wins_over_the_length_of_a_single_method() -> None:
    suite = Suite.model_validate(
        {
            "name": "a",
            "datasets": ["digits"],
            "methods": [{"method": "dm", "iterations": 9}, {"method": "lodm", "minutes": 3}],
            "budgets": [1],
            "sizes": {"laptop": {"iterations": 2}, "paper": {"seeds": 3}},
        }
    )
    makings, _ = expand(at_size(suite, "laptop").suite)
    assert [one.options.get("iterations") for one in makings] == [2, 2]
    assert all("minutes" not in one.options for one in makings)
    paper = at_size(suite, "paper")
    assert paper.full and len(expand(paper.suite)[0]) == 6
    assert [m.options.get("iterations") for m in expand(paper.suite)[0][::3]] == [9, None]


def test_a_size_may_give_single_rows_options_of_their_own() -> None:
    rows = {"dm": {"iterations": 2, "set": {"batch_real": 8}}, "dc": {"iterations": 5}}
    suite = Suite.model_validate(
        {
            "name": "a",
            "datasets": ["digits"],
            "methods": [
                {"method": "dm", "minutes": 9, "set": {"batch_real": 64, "augment": "none"}},
                {"method": "lodm", "iterations": 3},
                "dc",
            ],
            "budgets": [1],
            "sizes": {"laptop": {"rows": rows}},
        }
    )
    laptop = at_size(suite, "laptop")
    options = [one.options for one in expand(laptop.suite)[0]]
    assert [one.get("iterations") for one in options] == [2, 3, 5]
    assert all("minutes" not in one for one in options)
    assert options[0]["set"] == ("augment=none", "batch_real=8")
    assert not laptop.full
    assert "dm: iterations 2, set batch_real=8" in laptop.shrinks
    assert "dc: iterations 5" in laptop.shrinks


def test_the_smallest_size_tries_every_method_and_every_network(tmp_path: Path) -> None:
    makings, measurings = expand(smallest(read_suite(write(tmp_path, FULL))).suite)
    assert [(one.method, one.source, one.budget) for one in makings] == [
        (method, "digits", "ipc 1") for method in ("random", "LoDM 4", "dm")
    ]
    assert {(one.making.method, one.network) for one in measurings} == {
        ("random", "convnet3:width=8"),
        ("random", "resnet18"),
        ("LoDM 4", "convnet3:width=8"),
        ("dm", "convnet3:width=8"),
    }
    assert all(one.epochs == 1 and one.repeats == 1 for one in measurings)


def test_only_networks_that_have_a_width_are_narrowed() -> None:
    assert widened("convnet3", 8) == "convnet3:width=8"
    assert widened("convnet3:norm=batch,width=64", 8) == "convnet3:norm=batch,width=8"
    assert widened("ConvNetBN", 8) == "convnet3:norm=batch,width=8"
    for name in ("resnet18", "vgg11", "alexnet", "timm:resnet18"):
        assert widened(name, 8) == name


def test_file_names_are_told_apart() -> None:
    assert slug("ipc 10") == "ipc-10"
    names = ["a:b", "a/b", "a-b", "a b:", "ä", "../x", "a,b"]
    assert len({slug(name) for name in names}) == len(names)
    for name in names:
        assert not set(slug(name)) & set("/:,\\ ") and not slug(name).startswith(".")


def changed(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("rank: 4", "rnak: 4", ("line 9", "methods[1].rnak", "did you mean 'rank'")),
        ("rank: 4", "rank: four", ("line 9", "methods[1].rank", "'four'", "a whole number")),
        ("lr: 1e-3", "lr: fast", ("methods[1].lr", "'fast'", "a number")),
        ("repeats: 3", "repeat: 3", ("line 14", "repeat", "did you mean 'repeats'")),
        ("repeats: 3", "repeats: 0", ("line 14", "repeats", "0")),
        ("repeats: 3", "repeats: many", ("line 14", "repeats", "'many'")),
        ("seeds: 2", "seeds: 0", ("line 13", "at least 1 set")),
        ("seeds: 2", "seeds: [1, 1]", ("seeds[1]", "1 is there twice")),
        ("{ipc: 10}", "{ipc: 10, bytes: 1kB}", ("line 11", "budgets[1]", "--ipc and --bytes")),
        ("{ipc: 10}", "{count: paper}", ("budgets[1]", "give one of ipc, bytes")),
        ("{ipc: 10}", "{ipc: 1}", ("budgets[1]", "'ipc 1' is there twice")),
        ("120kB]", "120 bananas]", ("budgets[2]", "120 bananas")),
        ("  - dm\n", "  - random\n", ("methods[2]", "'random' is there twice", "'name'")),
        ("iterations: 7", "iteration: 7", ("line 16", "options.iteration", "'iterations'")),
        ("options: {", "options: {ipc: 3, ", ("options.ipc", "unknown option 'ipc'")),
        ("dataset: mnist", "dataset: minst", ("line 18", "skip[0].dataset", "'mnist'")),
        ("mnist, budget: 10}", "mnist, budget: 11}", ("skip[0].budget", "'ipc 11'", "120kB")),
        ("network: resnet18}", "network: resnet}", ("skip[1].network", "'resnet18'")),
        ("datasets: [cifar10]", "datasets: [cifar]", ("sizes.laptop.datasets", "'cifar10'")),
        ("[random, LoDM 4]", "[random, lodm]", ("sizes.laptop.methods", "LoDM 4")),
        ("    minutes: 0.5", "    minutes: 0", ("sizes.laptop.minutes", "greater than 0")),
        ("epochs: 4", "iterations: 4", ("sizes.laptop", "iterations or minutes, not both")),
        ("minutes: 0.5", "rows: {dmm: {iterations: 4}}", ("sizes.laptop.rows", "mean 'dm'")),
        ("minutes: 0.5", "rows: {dm: {iteration: 4}}", ("sizes.laptop.rows.dm", "'iterations'")),
        (
            "minutes: 0.5",
            "rows: {dm: {iterations: 4, minutes: 1}}",
            ("sizes.laptop", "iterations or minutes"),
        ),
        ("title: A table", "title: A: table", ("line 3", "no YAML")),
        ("title: A table", "name: b", ("line 3", "'name' is given twice")),
        ("name: table", "name: a/b", ("name", "a/b")),
        ("  - random\n", "  - {name: x}\n", ("methods[0].method", "'method' is missing")),
        ("classes: 5", "classses: 5", ("line 6", "'classes'")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_slip_is_refused_with_its_place(
    old: str, new: str, parts: tuple[str, ...], tmp_path: Path
) -> None:
    path = write(tmp_path, changed(FULL, old, new))
    with pytest.raises(BadRequest) as caught:
        read_suite(path)
    assert str(caught.value).startswith(str(path))
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"methods": ["lodmm"]}, ("method 'lodmm'", "did you mean 'lodm'")),
        ({"methods": [{"method": "dm", "card": "dsa-100"}]}, ("card 'dsa-100'", "dsa-1000")),
        ({"evaluation": {"card": "dsa"}}, ("card 'dsa'", "dsa-1000")),
        ({"datasets": {"a": "digit"}}, ("dataset a", "source 'digit'", "'digits'")),
    ],
)
def test_unknown_names_are_refused(change: dict[str, Any], parts: tuple[str, ...]) -> None:
    base: dict[str, Any] = {"name": "a", "datasets": ["digits"], "methods": ["dm"], "budgets": [1]}
    with pytest.raises(BadRequest) as caught:
        check_names(Suite.model_validate({**base, **change}))
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"init": "rael"}, "did you mean 'real'"),
        ({"iterations": 3, "minutes": 1}, "not both"),
        ({"average": 2}, "--average 2"),
        ({"set": "batch_real"}, "name=value"),
    ],
)
def test_options_that_no_run_can_have_are_refused(options: dict[str, Any], part: str) -> None:
    given = {"name": "a", "datasets": ["digits"], "methods": ["dm"], "budgets": [1]}
    suite = Suite.model_validate({**given, "options": options})
    with pytest.raises(BadRequest, match=part) as caught:
        expand(suite)
    assert "digits, dm, ipc 1, seed 0" in str(caught.value)


def test_rows_whose_files_would_be_the_same_are_refused() -> None:
    methods = [{"method": "dm", "name": "DM long"}, {"method": "lodm", "name": "DM-long"}]
    given = {"name": "a", "datasets": ["digits"], "methods": methods, "budgets": [1]}
    with pytest.raises(BadRequest, match=r"'DM long' and 'DM-long'.*another 'name'"):
        expand(Suite.model_validate(given))


def test_a_part_of_the_data_is_not_the_published_size() -> None:
    given: dict[str, Any] = {"name": "a", "methods": ["dm"], "budgets": [1]}
    part = {"mnist": {"source": "mnist", "classes": 5}, "cifar10": "cifar10"}
    sizes = {"all": {}, "one": {"datasets": ["cifar10"]}}
    assert at_size(Suite.model_validate({**given, "datasets": ["mnist"]}), None).full
    for changes in ({}, {"sizes": sizes}):
        suite = Suite.model_validate({**given, "datasets": part, **changes})
        assert not at_size(suite, None).full
    assert at_size(Suite.model_validate({**given, "datasets": part, "sizes": sizes}), "one").full
    assert not at_size(Suite.model_validate({**given, "datasets": ["mnist"], "width": 8}), "").full


def test_a_suite_without_any_cell_is_refused() -> None:
    given = {"name": "a", "datasets": ["digits"], "methods": ["dm"], "budgets": [1]}
    with pytest.raises(BadRequest, match="leaves no cell"):
        expand(Suite.model_validate({**given, "skip": [{"method": "dm"}]}))


def test_sources_can_be_given_by_hand(tmp_path: Path) -> None:
    suite = read_suite(write(tmp_path, FULL))
    found = with_sources(suite, ["mnist=npz:x/mnist.npz"])
    assert found.datasets["mnist"].source == "npz:x/mnist.npz"
    assert found.datasets["mnist"].classes == 5
    with pytest.raises(BadRequest, match="did you mean 'mnist'"):
        with_sources(suite, ["minst=digits"])
    with pytest.raises(BadRequest, match="NAME=SOURCE"):
        with_sources(suite, ["digits"])


def test_a_set_is_the_same_wherever_its_data_lie(tmp_path: Path) -> None:
    making = Making("a", "dm", "ipc 1", 0, "npz:x/a.npz", {}, {"method": "dm", "ipc": 1})
    moved = Making("a", "dm", "ipc 1", 0, "npz:y/a.npz", {}, {"method": "dm", "ipc": 1})
    other = Making("a", "dm", "ipc 1", 0, "npz:x/b.npz", {}, {"method": "dm", "ipc": 1})
    assert making.identity() == moved.identity() != other.identity()
    (tmp_path / "a.npz").write_bytes(b"123")
    found = Making("a", "dm", "ipc 1", 0, f"npz:{tmp_path}/a.npz", {}, {"method": "dm", "ipc": 1})
    assert found.identity()["data"] == "npz:a.npz, 3 bytes"
    assert (
        Measuring(making, "convnet3", None, None, 1).identity()
        != Measuring(making, "convnet3", None, 2, 1).identity()
    )


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "a suite is a mapping"),
        ("- a", "a suite is a mapping"),
        ("a: [", "no YAML"),
        ("a: !!python/object:os.system x", "no YAML"),
        ("a: 1\n# \0\n", "no YAML"),
        ("a: " + "[" * 5000, "nested too deep"),
    ],
)
def test_what_is_no_suite_is_refused(text: str, part: str, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=part):
        read_suite(write(tmp_path, text))


def test_a_missing_file_is_refused_with_those_beside_it(tmp_path: Path) -> None:
    write(tmp_path, FULL)
    with pytest.raises(BadRequest, match=r"no such file.*suite\.yaml"):
        read_suite(tmp_path / "suit.yaml")
    with pytest.raises(BadRequest, match="UTF-8"):
        (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
        read_suite(tmp_path / "bytes.yaml")


def test_the_smallest_size_makes_no_set_on_a_large_network() -> None:
    suite = Suite.model_validate(
        {
            "name": "a",
            "datasets": ["cifar10"],
            "methods": [
                {"method": "dm", "network": "alexnet", "lr": 0.5},
                {"method": "lodm", "network": "convnet4:norm=batch", "rank": 3},
            ],
            "budgets": [50, 10],
            "networks": ["resnet18"],
            "whole": True,
        }
    )
    makings, measurings = expand(smallest(suite).suite)
    assert [(one.budget, one.options["network"]) for one in makings] == [
        ("ipc 10", "convnet3:width=8"),
        ("ipc 10", "convnet4:norm=batch,width=8"),
    ]
    assert makings[0].options["lr"] == 0.5 and makings[1].options["rank"] == 3
    assert [(one.making.method, one.network, one.whole) for one in measurings] == [
        ("dm", "convnet3:width=8", False),
        ("dm", "resnet18", False),
        ("lodm", "convnet3:width=8", False),
        ("dm", "convnet3:width=8", True),
    ]


FOLLOWING: dict[str, Any] = {
    "name": "a",
    "datasets": {"digits": {"source": "digits", "classes": 2, "per_class": 5}},
    "methods": ["random", "mtt"],
    "budgets": [1],
    "options": {"network": "convnet1:width=4", "validation": 0},
}


def test_the_experts_of_a_suite_belong_to_the_rows_that_follow_them() -> None:
    suite = Suite.model_validate({**FOLLOWING, "experts": {"count": 9, "epochs": 8}})
    random, mtt = expand(suite)[0]
    assert (random.experts, mtt.experts) == (None, {"count": 9, "epochs": 8})
    assert "experts" not in random.identity()
    assert pickle.loads(pickle.dumps(mtt)) == mtt
    fewer = suite.model_copy(update={"experts": {"count": 3, "epochs": 8}})
    assert expand(fewer)[0][1].identity() != mtt.identity()
    own = Suite.model_validate({**FOLLOWING, "methods": [{"method": "mtt", "experts": "mine"}]})
    assert expand(own)[0][0].experts is None


def test_a_size_may_say_alone_how_experts_are_trained() -> None:
    sizes = {"laptop": {"experts": {"count": 2}}}
    sized = at_size(Suite.model_validate({**FOLLOWING, "sizes": sizes}), "laptop")
    assert expand(sized.suite)[0][1].experts == {"count": 2}
    assert sized.shrinks == ("experts, count: 2",) and not sized.full


@pytest.mark.parametrize(
    ("experts", "said"),
    [
        (None, "suite a: method 'mtt' follows expert trajectories; say how"),
        ({"count": 0}, "suite a: experts: --count 0: 1 or more"),
        ({"storage": "float8"}, "suite a: experts: unknown value of --storage 'float8'"),
        # found before any expert is trained
        ({"epochs": 2}, "digits, mtt.*reach up to epoch 3 of experts that have 2"),
    ],
)
def test_experts_that_cannot_be_followed_are_refused(experts: Any, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        check_against_data(*expand(Suite.model_validate({**FOLLOWING, "experts": experts})), None)


def test_experts_are_whitened_by_the_name_of_the_training_images(tmp_path: Path) -> None:
    """An array file calls its test part otherwise, and that is no name of a known dataset."""
    numbers = np.random.default_rng(0)
    parts = {
        f"{kind}_{part}": numbers.integers(0, 255, (20, 32, 32, 3), dtype=np.uint8)
        if kind == "x"
        else np.arange(20) % 2
        for kind in "xy"
        for part in ("train", "test")
    }
    np.savez(tmp_path / "cifar10.npz", **parts)
    source = f"npz:{tmp_path / 'cifar10.npz'}"
    suite = Suite.model_validate(
        {**FOLLOWING, "datasets": {"cifar10": source}, "methods": ["random"]}
    )
    prices = Prices()
    check_against_data(*expand(suite), None, prices=prices)
    assert prices.names == {"cifar10": "cifar10"}


def test_experts_are_not_slimmed_with() -> None:
    changes: dict[str, Any] = {"experts": {"epochs": 8}, "slimming": True, "budgets": [1, 2]}
    suite = Suite.model_validate({**FOLLOWING, **changes, "methods": ["mtt"]})
    with pytest.raises(BadRequest, match="--method mtt: it follows expert trajectories"):
        check_against_data(*expand(suite), None)
