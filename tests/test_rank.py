"""Candidates ranked on a condensed set beside their order on the whole."""

import json
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

import attar
from attar.applications.ranking.correlation import kendall, spearman
from attar.cli import run
from attar.data import Splits

NETWORKS = ["convnet1:width=4", "convnet2:width=4"]
# without its own notes on types
STATS: Any = stats
BRIEF: dict[str, Any] = {"updates": 2}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sets") / "digits.safetensors"
    attar.condense("digits", method="random", ipc=1, per_class=40, output=out)
    return out


def test_candidates_are_trained_on_every_set(path: Path) -> None:
    lines: list[str] = []
    found = attar.rank(path, networks=NETWORKS, lrs=[0.001, 0.01], said=lines.append, **BRIEF)
    assert len(found.candidates) == 4 and found.candidates[0].endswith("at 0.001")
    (own, beside) = found.proxies
    assert beside.name == "random real images" and own.bytes == beside.bytes == 2560
    for one in (own, beside, found.whole):
        assert len(one.accuracies) == 4 and one.seconds > 0
    assert found.whole.kendall.value == found.whole.spearman.value == 1.0
    assert found.whole.lost == 0 <= own.lost
    expected = STATS.kendalltau(own.accuracies, found.whole.accuracies).statistic
    assert own.kendall.value == pytest.approx(expected, nan_ok=True)
    # the cost is said before the first training
    assert "4 candidates on 3 sets, 12 trainings to do: about" in lines[0]
    assert len(lines) == 13


def test_an_interrupted_ranking_goes_on(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "ranking.json"

    class Stopped(Exception):
        pass

    def said(line: str) -> None:
        if line.startswith("random real images") and NETWORKS[0] in line:
            raise Stopped

    options: dict[str, Any] = {"networks": NETWORKS, "output": out, **BRIEF}
    with pytest.raises(Stopped):
        attar.rank(path, said=said, **options)
    before = json.loads(out.read_text())["measured"]
    assert len(before) == 3
    with pytest.raises(attar.BadRequest, match="--resume goes on"):
        attar.rank(path, **options)
    lines: list[str] = []
    found = attar.rank(path, resume=True, said=lines.append, **options)
    assert "3 trainings to do" in lines[0]
    assert json.loads(out.read_text())["measured"][:3] == before
    assert [before[0]["accuracies"][0], before[1]["accuracies"][0]] == [
        *found.proxies[0].accuracies
    ]
    # a further candidate is trained, and nothing else
    lines.clear()
    options["networks"] = [*NETWORKS, "mlp"]
    attar.rank(path, resume=True, said=lines.append, **options)
    assert "3 trainings to do" in lines[0]
    with pytest.raises(attar.BadRequest, match="another value of repeats"):
        attar.rank(path, resume=True, repeats=2, **options)
    out.write_text("{}")
    with pytest.raises(attar.BadRequest, match="damaged"):
        attar.rank(path, resume=True, **options)


def test_coefficients_are_scipys_and_their_intervals_those_of_bonett_and_wright() -> None:
    one, other = [1.0, 2, 3, 4, 5, 6, 7, 7], [2.0, 1, 4, 3, 5, 8, 7, 6]
    own = kendall(one, other)
    assert own.value == pytest.approx(STATS.kendalltau(one, other).statistic)
    assert spearman(one, other).value == pytest.approx(STATS.spearmanr(one, other).statistic)
    assert own.value is not None and own.low is not None and own.high is not None
    assert own.low < own.value < own.high < 1
    perfect = kendall(one[:7], one[:7])
    assert perfect.high == perfect.value == 1 and perfect.low is not None and perfect.low < 0.95
    assert kendall(one[:4], other[:4]).low is None
    assert kendall([1, 1, 1], [1, 2, 3]).value is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"networks": ["mlp"]}, "there is one candidate, mlp"),
        ({}, "there is one candidate"),
        ({"lrs": [0.1, 0.1]}, "there is one candidate"),
        ({"lrs": [0.1, -1.0]}, "--lrs -1"),
        ({"lrs": [0.1, float("inf")]}, "--lrs inf: positive numbers"),
        ({"lrs": "0.1,0.2"}, "lrs '0.1,0.2': a list of numbers"),
        ({"lrs": ["a", "b"]}, "a list of numbers"),
        ({"lrs": 0.1}, "there is one candidate"),
        ({"networks": 3}, "networks 3: a name, such as 'convnet3'"),
        ({"networks": NETWORKS, "beside": "best"}, "--beside best"),
        ({"networks": NETWORKS, "output": 3}, "3: a text or a path is needed"),
        ({"lrs": [0.1, 0.2], "card": "dd"}, "--lrs: --card dd trains by exactly the steps"),
        ({"networks": NETWORKS, "card": "dd", "updates": 3}, "--updates: --card dd trains"),
        ({"networks": NETWORKS, "card": "ntk"}, "no network is trained"),
        ({"networks": NETWORKS, "repeats": 0}, "--repeats 0"),
        ({"networks": NETWORKS, "beside": ["best"]}, "--beside best"),
        ({"networks": NETWORKS, "whole_epochs": 0}, "--whole-epochs 0"),
        ({"networks": NETWORKS, "output": "ranking.txt"}, "end in .json"),
        ({"networks": NETWORKS, "resume": True}, "give -o"),
        ({"networks": NETWORKS, "classes": "1,2"}, "classes"),
    ],
)
def test_what_cannot_be_ranked_is_refused(path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(attar.BadRequest, match=said):
        attar.rank(path, "digits", **options)


def test_the_whole_needs_training_and_test_images() -> None:
    digits = attar.load_source("digits")
    made = attar.condense(Splits(digits.train, None), method="random", ipc=1, validation=0)
    with pytest.raises(attar.BadRequest, match="in one piece"):
        attar.rank(made, digits.test, networks=NETWORKS)


def test_the_command_prints_the_order(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["rank", str(path), "--networks", ",".join(NETWORKS), "--updates", "2"]
    assert run([*words, "--beside", "random,coded", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["proxies"]) == 3 and told["proxies"][0]["times_faster"] > 0
    assert run([*words, "--beside", "none", "--lrs", "0.1,0.01"]) == 0
    printed = capsys.readouterr().out
    assert "Kendall" in printed and "Points lost" in printed
    assert run([*words, "--lrs", "fast"]) == 2
