"""The face of the package: what `attar` offers, and that editors can complete it."""

import dataclasses
import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import attar
from attar.cli import run
from attar.condensing.keywords import CondenseOptions
from attar.condensing.request import Request
from attar.evaluation.request import EvaluateOptions, EvaluationRequest
from attar.experts.keywords import ExpertsOptions
from attar.experts.request import ExpertsRequest
from attar.options import READING, ReadingOptions
from attar.slimming.keywords import SlimOptions
from attar.slimming.request import SlimRequest
from catalogue import NETWORK, tiny_data

SMALL: dict[str, Any] = {"ipc": 2, "network": NETWORK, "device": "cpu", "validation": 0}


def names(kind: type) -> set[str]:
    return {item.name for item in dataclasses.fields(kind)}


def test_keywords_are_the_fields_of_requests_and_of_reading() -> None:
    assert set(ReadingOptions.__annotations__) == set(READING)
    for keywords, kind, reading, named in (
        (CondenseOptions, Request, READING, set()),
        (ExpertsOptions, ExpertsRequest, READING, set()),
        (EvaluateOptions, EvaluationRequest, READING, set()),
        (SlimOptions, SlimRequest, (), {"ipc"}),
    ):
        told = set(keywords.__annotations__)
        # of a base, where Python gives each its own
        told |= set(ReadingOptions.__annotations__) if reading else set()
        assert told == (names(kind) | set(reading)) - named, kind


@pytest.mark.parametrize("name", ["condense", "slim", "train_experts", "evaluate"])
def test_eight_parameters_at_most_and_keywords_that_editors_know(name: str) -> None:
    given = inspect.signature(getattr(attar, name)).parameters.values()
    named = [one for one in given if one.kind is not inspect.Parameter.VAR_KEYWORD]
    assert len(named) <= 8
    (rest,) = (one for one in given if one.kind is inspect.Parameter.VAR_KEYWORD)
    assert str(rest.annotation).startswith("Unpack[")


def test_a_request_is_what_condense_takes(tmp_path: Path) -> None:
    data = tiny_data()
    request = attar.Request(method="dm", iterations=1, settings={"batch_real": 3}, **SMALL)
    made = attar.condense(data, request)
    assert made.header.settings["objective"]["batch_real"] == 3
    again = attar.condense(data, request=dataclasses.replace(request, settings=None))
    assert again.header.settings["objective"]["batch_real"] == 256
    with pytest.raises(attar.BadRequest, match="lr: the request says what is asked for"):
        attar.condense(data, request, lr=1.0)
    with pytest.raises(attar.BadRequest, match=r"an attar\.Request is needed"):
        attar.condense(data, {"ipc": 1})  # pyright: ignore[reportArgumentType]


def test_settings_of_slimming_are_a_mapping_too(tmp_path: Path) -> None:
    made = attar.condense(tiny_data(), method="dm", iterations=1, **SMALL)
    small: dict[str, Any] = {"iterations": 1, "network": NETWORK, "device": "cpu"}
    by_text = attar.slim(made, 1, settings="pool=2", **small)
    by_value = attar.slim(made, 1, settings={"pool": 2}, **small)
    assert isinstance(by_text, attar.Artefact) and isinstance(by_value, attar.Artefact)
    assert by_text.header.settings == by_value.header.settings
    assert by_value.header.provenance["command"].count("--set pool=2") == 1
    with pytest.raises(attar.BadRequest, match="nothing is trained here"):
        attar.slim(made, 1, settings={"pool": 2}, learning_free=True)


def test_parts_are_attributes_and_torch_waits() -> None:
    code = (
        "import sys, attar\n"
        "assert 'torch' not in sys.modules\n"
        "assert attar.objectives.Objective and attar.testing.check_form\n"
        "assert {'objectives', 'condense'} <= set(dir(attar))\n"
        "assert not any('attar.' + name in sys.modules for name in ('pictures', 'report'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for part in attar._PARTS:
        assert getattr(attar, part) is importlib.import_module(f"attar.{part}")


def test_lists() -> None:
    assert "dm" in attar.list_methods() and attar.list_methods("lo?m") == ["lodm"]
    assert "resnet18" in attar.list_networks("resnet*") and "convnetN" in attar.list_networks()
    assert "digits" in attar.list_sources() and "dsa-1000" in attar.list_cards()
    assert "plugin/1" in attar.list_tables() and attar.list_tables("nothing*") == []


def test_files_and_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "set.safetensors"
    attar.condense(tiny_data(), method="dm", iterations=1, output=path, **SMALL)
    assert attar.export(path, png=tmp_path / "png", said=lambda _: None) == 6
    assert attar.export(attar.load(path), npz=tmp_path / "set.npz", floats=True) == 6
    with pytest.raises(attar.BadRequest, match="give one of"):
        attar.export(path)
    run(["show", str(path), "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert shown == json.loads(json.dumps({"path": str(path), **attar.describe(path)}))
    page = attar.write_report(path, tmp_path / "one.html", title="Mine")
    assert "Mine" in page.read_text(encoding="utf-8")
    with pytest.raises(attar.BadRequest, match=r"must end in \.html"):
        attar.write_report([path, path], tmp_path / "two.txt")
    drawn = attar.draw([path], kinds=["grid"])
    assert len(drawn.pictures) == 1


def test_a_suite_is_looked_at_first(tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text("name: own\n", encoding="utf-8")
    with pytest.raises(attar.BadRequest, match=r"suite\.yaml"):
        attar.bench(suite, tmp_path / "out")
    with pytest.raises(attar.BadRequest, match="not both"):
        attar.bench(suite, size="laptop", smallest=True)
