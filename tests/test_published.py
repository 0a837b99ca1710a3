"""The papers' tables: complete, in their places, and found by name."""

import json
import re

import pytest
from pydantic import ValidationError

from attar.cli import run
from attar.methods import METHODS
from attar.published import TABLES, Figure, Table, published
from attar.published import reading as data

TABLE = {table.id: table for table in TABLES}
# printed figures and dashes, counted by hand in the papers as rows × columns of each part
CELLS = {
    # 10 rows of 9 methods; no DD but at 10 images on MNIST and CIFAR-10, no LD on three rows
    "plugin/1": (10 * 9 - 11, 8 + 3),
    # 7 rows of 9 methods; no SI on MNIST at 1 for the two gradient-matching methods
    "plugin/2": (7 * 9 - 2, 2),
    # 3 methods × 2 networks to learn on, 5 to test on
    "plugin/3": (6 * 5, 0),
    # 2 datasets × 2 lines of 5 methods; no RememberThePast on CIFAR-100
    "plugin/4": (4 * 5 - 2, 2),
    # five final accuracies in the text
    "plugin/figure-4": (5, 0),
    # 11 methods × 10 columns and 4 wide cells; 4 × 2 without Tiny-ImageNet, MTT without SVHN,
    # IDC without CIFAR-100 at 1 and Tiny-ImageNet
    "esp/1": (11 * 10 - 14 + 4, 4 * 2 + 3 + 3),
    # 2 datasets × 6 rows × 9 columns
    "esp/2": (2 * 6 * 9, 0),
    # 5 rows × 3 columns
    "esp/3": (5 * 3, 0),
    "esp/4": (3 * 3, 0),
    # 17 columns: the random row, then 6 methods of one full row and three without the 3 largest
    "slimmable/1": (17 + 6 * (17 + 3 * 14), 6 * 3 * 3),
    # 3 networks × 2 methods of one full row of 6 and two without the largest
    "slimmable/2": (3 * 2 * (6 + 2 * 5), 3 * 2 * 2),
}


def one(
    dataset: str, method: str, ipc: int | None, table: str, network: str = "convnet3", **more: str
) -> float:
    found = [f for f in published(dataset, method, ipc, network, **more) if f.table == table]
    assert len(found) == 1, found
    return found[0].mean


def test_every_table_of_the_papers_is_there() -> None:
    assert list(TABLE) == list(CELLS)


@pytest.mark.parametrize("name", CELLS)
def test_a_table_has_as_many_cells_as_the_paper(name: str) -> None:
    assert (len(TABLE[name].figures), TABLE[name].missing) == CELLS[name]


@pytest.mark.parametrize("name", CELLS)
def test_no_cell_is_said_twice(name: str) -> None:
    def place(figure: Figure) -> tuple[object, ...]:
        keys = ("dataset", "method", "label", "ipc", "network", "learned_on", "variant", "quantity")
        return tuple(getattr(figure, key) for key in keys)

    # a full-data figure that the paper repeats for every budget is one
    places = [place(figure) for figure in TABLE[name].figures if figure.method != "whole"]
    assert len(set(places)) == len(places)


def test_figures_are_accuracies_in_percent() -> None:
    for table in TABLES:
        for figure in table.figures:
            low = -100 if figure.quantity == "gap" else 0
            assert low <= figure.mean <= 100, figure
            assert figure.std is None or 0 <= figure.std < 10, figure


@pytest.mark.parametrize(
    ("figure", "table", "dataset", "method", "ipc"),
    [
        (14.4, "plugin/1", "cifar10", "random", 1),
        (31.6, "plugin/1", "cifar10", "herding", 10),
        (13.5, "plugin/1", "cifar10", "forgetting", 1),
        (79.5, "plugin/1", "mnist", "dd", 10),
        (60.9, "plugin/1", "mnist", "ld", 1),
        (28.3, "plugin/1", "cifar10", "dc", 1),
        (51.1, "plugin/1", "cifar10", "dsa", 10),
        (43.8, "plugin/1", "cifar10", "lodm", 1),
        (91.2, "plugin/1", "mnist", "lodm", 1),
        (98.2, "plugin/1", "mnist", "lodm", 50),
        (37.5, "plugin/1", "cifar100", "lodm", 10),
        (18.3, "plugin/1", "tiny_imagenet", "lodm", 10),
        (35.2, "plugin/2", "cifar10", "lodc", 1),
        (28.2, "plugin/2", "cifar10", "lodc:same images", 1),
        (56.5, "plugin/2", "cifar10", "lodsa", 10),
        (9.9, "plugin/2", "tiny_imagenet", "lodsa", 1),
        (58.7, "plugin/4", "cifar10", "lomtt", 1),
        (33.1, "plugin/4", "cifar100", "loidc", 1),
        (68.4, "plugin/4", "cifar10", "lortp", 1),
        (37.92, "plugin/figure-4", "cifar100", "lodm:continual learning in 5 steps", 20),
        (52.1, "esp/1", "cifar10", "dsa", 10),
        (63.0, "esp/1", "cifar10", "esp", 1),
        (92.2, "esp/1", "svhn", "kfs", 50),
        (23.2, "esp/1", "tiny_imagenet", "mtt", 10),
        (56.2, "esp/1", "cifar100", "whole", None),
        (41.3, "esp/4", "cifar10", "esp:projection loss alone", 1),
        (62.6, "esp/4", "cifar10", "esp", 1),
    ],
)
def test_known_figures_are_in_their_places(
    figure: float, table: str, dataset: str, method: str, ipc: int | None
) -> None:
    assert one(dataset, method, ipc, table) == figure


def test_known_figures_on_other_networks_are_in_their_places() -> None:
    batch = "resnet18:norm=batch"
    assert one("cifar10", "lodm", 10, "plugin/3", batch) == 50.6
    assert one("cifar10", "lodm", 10, "plugin/3", batch, learned_on="alexnet:norm=batch") == 50.9
    assert one("cifar10", "lodm", 10, "plugin/3", "lenet") == 45.5
    assert one("svhn", "esp", 10, "esp/2", "resnet10") == 93.5
    assert one("cifar10", "kfs", 50, "esp/2", "densenet121") == 76.3
    assert one("svhn", "whole", None, "esp/2", "densenet121") == 89.1
    assert one("cifar10", "esp", 1, "esp/3", "efficientnetv2s") == 35.3
    frepo = "frepo3:norm=none"
    assert one("cifar10", "slimmable:slimmed by learning", 1, "slimmable/1", frepo) == 47.77
    assert one("cifar10", "slimmable:slimmed without learning", 1, "slimmable/1", frepo) == 33.09
    assert one("fashion_mnist", "frepo", 5, "slimmable/1", frepo) == 83.80
    assert one("cifar100", "random", 20, "slimmable/1", frepo) == 23.23
    assert one("cifar10", "slimmable", 2, "slimmable/2", "alexnet") == 47.55


@pytest.mark.parametrize("name", ["slimmable/1", "slimmable/2"])
def test_printed_gaps_are_the_differences_of_the_printed_accuracies(name: str) -> None:
    # the papers' own check sum: condensed anew minus slimmed
    def key(figure: Figure) -> tuple[object, ...]:
        return (figure.network, figure.method, figure.dataset, figure.ipc)

    figures = TABLE[name].figures
    mean = {(*key(f), f.variant): f.mean for f in figures if f.quantity == "accuracy"}
    gaps = [figure for figure in figures if figure.quantity == "gap"]
    assert gaps
    for gap in gaps:
        slimmed = mean[(*key(gap), gap.variant)]
        assert mean[(*key(gap), "")] - slimmed == pytest.approx(gap.mean, abs=1e-9)


def test_tables_of_one_paper_agree_where_they_say_the_same() -> None:
    first = {(f.dataset, f.method, f.ipc): f.mean for f in TABLE["plugin/1"].figures}
    shared = [
        (figure, first[key])
        for figure in TABLE["plugin/2"].figures
        if (key := (figure.dataset, figure.method, figure.ipc)) in first and not figure.variant
    ]
    assert len(shared) == 7 * 4
    assert all(figure.mean == mean for figure, mean in shared)


def test_sources_come_in_order() -> None:
    found = published("cifar10", "mtt", 1)
    assert [figure.source for figure in found] == [
        "Yang et al. 2023, Table 4",
        "Ma et al. 2023, Table 1",
    ]
    assert found[0].std is None and found[1].std == 0.8
    assert [figure.text for figure in found] == ["46.3", "46.3 ± 0.8"]
    assert published("cifar10", "lodm:same images", 10)[0].text == "46.0 ± 0.7"


def test_a_narrow_network_finds_the_published_one() -> None:
    assert published("cifar10", "dm", 1, "convnet3:width=16") == published("cifar10", "dm", 1)
    narrow = published("cifar10", "dm", 10, "vgg11:width=8,norm=batch")
    assert [figure.mean for figure in narrow] == [36.2]


@pytest.mark.parametrize(
    ("dataset", "method", "ipc", "network"),
    [
        ("digits", "dm", 1, "convnet3"),
        ("cifar10", "nothing", 1, "convnet3"),
        ("cifar10", "dm", 7, "convnet3"),
        ("cifar10", "dm", None, "convnet3"),
        ("cifar10", "dm", 1, "vit"),
        ("cifar10", "dd", 1, "convnet3"),
        ("cifar10", "lodm:", 7, "convnet3"),
    ],
)
def test_what_was_not_published_is_an_empty_list(
    dataset: str, method: str, ipc: int | None, network: str
) -> None:
    assert published(dataset, method, ipc, network) == []


def test_ambiguous_cells_and_gaps_stand_beside_nothing() -> None:
    doubtful = [f for table in TABLES for f in table.figures if f.ambiguous]
    assert len(doubtful) == 6 and {f.table for f in doubtful} == {"esp/3"}
    assert all("cannot be told" in figure.note for figure in doubtful)
    assert published("cifar10", "mtt", 10, "efficientnetv2s") == []
    slimmed = published("cifar10", "dc:slimmed by learning", 10)
    assert [figure.mean for figure in slimmed] == [39.83]


def test_methods_are_spelt_as_the_presets() -> None:
    named = {figure.method for table in TABLES for figure in table.figures}
    assert named <= set(data.load().methods)

    def plain(name: str) -> str:
        return re.sub("[^a-z0-9]", "", name.lower())

    presets = {plain(name): name for name in METHODS}
    spelt = {name: presets[plain(name)] for name in named if plain(name) in presets}
    assert all(name == preset for name, preset in spelt.items())
    assert {"random", "dc", "dsa", "dm", "lodc", "lodsa", "lodm"} <= spelt.keys()
    # a figure printed under a preset's name is that preset's; ESP's ablation names losses
    named_so = [f for table in TABLES for f in table.figures if plain(f.label) in presets]
    assert len(named_so) > 100
    assert all(f.method == presets[plain(f.label)] for f in named_so if f.table != "esp/4")


def file_with(**changes: object) -> dict[str, object]:
    table = {
        "id": "own/1",
        "paper": "own",
        "number": "Table 1",
        "caption": "c",
        "axes": "a",
        "protocol": "p",
        "common": {"dataset": "digits", "network": "convnet3"},
        "blocks": [
            {
                "columns": [{"ipc": [1, 10]}],
                "rows": [{"label": "DM", "method": "dm", "cells": "12.5±1 -"}],
                **changes,
            }
        ],
    }
    paper = {"authors": "A", "cite": "A 1", "title": "T", "venue": "V"}
    return {"papers": {"own": paper}, "methods": {"dm": "m"}, "tables": [table]}


def read(monkeypatch: pytest.MonkeyPatch, content: dict[str, object]) -> Table:
    monkeypatch.setattr(data.yaml, "load", lambda text, loader: content)
    return data.read()[0]


def test_a_block_becomes_one_figure_per_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    table = read(monkeypatch, file_with())
    assert table.missing == 1 and len(table.figures) == 1
    assert table.figures[0] == Figure(
        *("own/1", "own", "A 1, Table 1", "digits", "dm", "DM", 1, "convnet3", 12.5, 1.0)
    )


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("12.5", "1 cells for 2 columns"),
        ("12.5 x", "'x' is not a figure"),
        ("12.5 100.1", "an accuracy of 100.1"),
        ("12.5 -3", "an accuracy of -3"),
        ("12.5 3?", "does not say what is open"),
    ],
)
def test_a_slip_in_the_data_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, cells: str, message: str
) -> None:
    rows = [{"label": "DM", "method": "dm", "cells": cells}]
    with pytest.raises(ValueError, match=re.escape(message)):
        read(monkeypatch, file_with(rows=rows))


def test_an_unlisted_method_or_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"label": "DN", "method": "dn", "cells": "1 2"}]
    with pytest.raises(ValueError, match="'dn' is not listed"):
        read(monkeypatch, file_with(rows=rows))
    with pytest.raises(ValidationError, match="Extra inputs"):
        read(monkeypatch, file_with(remark="none"))


def test_the_command_lists_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["published"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("plugin/1") and " 79 " in line for line in lines)
    assert run(["published", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["tables"]
    assert {table["id"]: table["figures"] for table in found} == {
        name: cells for name, (cells, _) in CELLS.items()
    }
    assert found[0]["paper"]["venue"] == "NeurIPS 2023"


def test_the_command_lists_figures(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["published", "--dataset", "cifar10", "--method", "lodm"]
    assert run([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {table["id"] for table in found["tables"]} == {"plugin/1", "plugin/2", "plugin/3"}
    assert len(found["figures"]) == 3 + 4 + 10
    assert run(["published", "--table", "esp/3"]) == 0
    shown = capsys.readouterr().out
    assert "35.3 " in shown and "10.1 ± 1.7 ?" in shown and "cannot be told" in shown
    assert run(["published", "--table", "esp/3", "--method", "dm"]) == 0
    assert "nothing was published" in capsys.readouterr().out


def test_the_command_tells_near_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["published", "--method", "lodmm"]) == 2
    assert "did you mean 'lodm'" in capsys.readouterr().err
    assert run(["published", "--table", "plugin-1"]) == 2
    assert "plugin/1" in capsys.readouterr().err
