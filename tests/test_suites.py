"""The suites of the repository stand for the papers' tables, whole, at two sizes."""

from pathlib import Path

import pytest

from attar.benching import read_suite
from attar.benching.cells import expand
from attar.benching.sizes import Sized, at_size
from attar.published import TABLES, Figure, published

FOLDER = Path(__file__).parent.parent / "suites"
OF_TABLES = [path for path in sorted(FOLDER.glob("*.yaml")) if read_suite(path).table]
SLIMMED = {"LBS": ":slimmed by learning", "LFS": ":slimmed without learning"}
TABLE = {table.id: table for table in TABLES}


def sized(path: Path, size: str) -> Sized:
    return at_size(read_suite(path), size)


def found(path: Path) -> set[Figure]:
    """Return the figures of its table that a suite puts beside its own, at the papers' size."""
    suite = sized(path, "paper").suite
    named = {entry.name: entry for entry in suite.methods}
    figures: list[Figure] = []
    for one in expand(suite)[1]:
        made = one.making
        if one.whole:
            figures += published(made.dataset, "whole", None, one.network)
        elif "ipc" in made.options:
            entry = named[made.method]
            on = entry.options.get("network")
            name, ipc = entry.published + SLIMMED.get(made.way, ""), made.options["ipc"]
            figures += published(made.dataset, name, ipc, one.network, learned_on=on)
    return {figure for figure in figures if figure.table == suite.table}


@pytest.mark.parametrize("path", OF_TABLES, ids=lambda path: path.stem)
def test_a_suite_of_a_table_has_both_sizes(path: Path) -> None:
    paper, laptop = sized(path, "paper"), sized(path, "laptop")
    assert read_suite(path).title
    assert paper.full and not paper.shrinks
    assert not laptop.full and laptop.shrinks
    # shrunk for every row alike
    assert laptop.suite.method_names == paper.suite.method_names
    named = [entry.method for entry in laptop.suite.methods]
    # real images as the papers have them, and as these bytes hold them
    assert named.count("coded") == named.count("random") > 0


@pytest.mark.parametrize(
    ("name", "methods"),
    [
        ("plugin-1", {"random", "herding", "forgetting", "dd", "ld", "dc", "dsa", "dm", "lodm"}),
        # the plain counts of its SI columns are budgets of their own
        ("plugin-2", {"dc", "lodc", "dsa", "lodsa", "dm", "lodm"}),
        ("plugin-3", {"dsa", "dm", "lodm"}),
        ("plugin-4", {"mtt", "lomtt"}),
        (
            "plugin-5",
            {
                *("mtt", "idc-i", "idc", "haba", "remember-the-past"),
                *("lomtt", "loidc-i", "loidc", "lohaba", "lortp"),
            },
        ),
        (
            "esp-1",
            {
                *("random", "herding", "dc", "dsa", "dm", "cafe-dsa", "kip", "mtt", "idc"),
                *("kfs", "esp", "whole"),
            },
        ),
        ("esp-2", {"dsa", "dm", "kfs", "esp", "whole"}),
        # which row is trajectory matching cannot be told
        ("esp-3", {"dsa", "esp", "whole"}),
        # with either loss left out, whose figures are variants
        ("esp-4", {"esp"}),
        # with their slimmed sets, whose figures are variants
        ("slimmable-1", {"random", "dc", "dsa", "dm", "frepo", "slimmable"}),
        ("slimmable-2", {"frepo", "slimmable"}),
    ],
)
def test_a_suite_reaches_every_figure_of_its_methods(name: str, methods: set[str]) -> None:
    path = FOLDER / f"{name}.yaml"
    table = read_suite(path).table
    assert table is not None
    figures = TABLE[table].figures
    wanted = {
        one
        for one in figures
        if one.method in methods
        and one.quantity == "accuracy"
        and (not one.variant or one.variant.startswith("slimmed") or name == "esp-4")
    }
    assert wanted and found(path) == wanted
