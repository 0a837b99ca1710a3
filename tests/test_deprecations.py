"""Old names work for one version, warn of the new one, and are refused beside it."""

import copy
import dataclasses
import pickle
import typing
from pathlib import Path
from typing import Any

import pytest
import torch

import attar
from attar.artefact.header import Header
from attar.budget import Budget
from attar.evaluation.request import EvaluationRequest
from attar.experts.request import ExpertsRequest
from attar.pictures.job import Options
from attar.renaming import GONE_IN, fields
from attar.slimming.request import SlimRequest
from attar.tensors import save_tensors
from catalogue import tiny_data

SMALL = {"method": "random", "ipc": 1, "network": "convnet1:width=8"}


def test_the_header_of_an_artefact_was_called_its_card() -> None:
    made = attar.condense(tiny_data(), **SMALL)
    with pytest.warns(DeprecationWarning, match=f"called header now; .* goes in Attar {GONE_IN}"):
        assert made.card is made.header
    parts = made.synthetic, made.preprocessing
    with pytest.warns(DeprecationWarning, match="card= is called header= now"):
        assert attar.Artefact(card=made.header, synthetic=parts[0], preprocessing=parts[1])
    with pytest.raises(attar.BadRequest, match="card is the old name of header: give header alone"):
        attar.Artefact(made.header, *parts, header=made.header, card=made.header)


def test_the_module_of_the_header_was_called_card() -> None:
    with pytest.warns(DeprecationWarning, match=r"attar\.artefact\.card\.Card is called"):
        from attar.artefact.card import Card
    assert Card is Header
    with pytest.warns(DeprecationWarning, match="is called attar.artefact.header.READ_FROM now"):
        from attar.artefact.card import READ_FROM
    assert READ_FROM == "part_of"
    with pytest.raises(ImportError, match="Deck"):
        from attar.artefact.card import Deck  # noqa: F401


class Counting(attar.Callback):
    def __init__(self) -> None:
        self.finishes = 0

    def finished(self, artefact: attar.Artefact) -> None:
        self.finishes += 1


def test_callbacks_were_called_listeners() -> None:
    with pytest.warns(DeprecationWarning, match=r"attar\.Listener is called attar\.Callback now"):
        assert attar.Listener is attar.Callback
    with pytest.warns(DeprecationWarning, match="condensing.telling.Callback now"):
        from attar.condensing.listening import Listener
    with pytest.warns(DeprecationWarning, match="ExpertCallback now"):
        from attar.experts.telling import ExpertListener
    with pytest.warns(DeprecationWarning, match="BenchCallback now"):
        from attar.benching import Watcher
    assert (Listener, ExpertListener) == (attar.Callback, attar.experts.telling.ExpertCallback)
    assert Watcher is attar.benching.BenchCallback


def test_callback_was_called_listener() -> None:
    told = Counting()
    with pytest.warns(DeprecationWarning, match="listener= is called callback= now") as warned:
        made = attar.condense(tiny_data(), listener=told, **SMALL | {"ipc": 2})
    assert told.finishes == 1 and warned[0].filename == __file__
    both = {"listener": told, "callback": told}
    for call in (
        lambda: attar.condense(tiny_data(), **both, **SMALL),
        lambda: attar.slim(made, 1, **both),
        lambda: attar.train_experts(tiny_data(), **both),
    ):
        with pytest.raises(attar.BadRequest, match="listener is the old name of callback: give"):
            call()
    with pytest.warns(DeprecationWarning, match="listener="):
        attar.slim(made, 1, listener=told, learning_free=True)
    with pytest.warns(DeprecationWarning, match="listener="), pytest.raises(attar.BadRequest):
        attar.train_experts(tiny_data(), listener=told, count=0)


@pytest.mark.parametrize(
    ("kind", "others", "old", "new", "value"),
    [
        (attar.Request, {}, "set", "settings", ("batch_real=3",)),
        (attar.Request, {}, "bytes", "max_bytes", "3kB"),
        (attar.Request, {}, "compile", "torch_compile", "off"),
        (attar.Request, {}, "images_per_class", "synthetic_per_class", 3),
        (Budget, {}, "bytes", "max_bytes", 3000),
        (Budget, {}, "images_per_class", "synthetic_per_class", 3),
        (SlimRequest, {"ipc": 1}, "set", "settings", ("pool=2",)),
        (SlimRequest, {"ipc": 1}, "compile", "torch_compile", "off"),
        (ExpertsRequest, {}, "compile", "torch_compile", "off"),
        (EvaluationRequest, {}, "compile", "torch_compile", "off"),
        (Options, {}, "compile", "torch_compile", "off"),
    ],
)
def test_fields_that_had_the_names_of_builtins(
    kind: Any, others: dict[str, Any], old: str, new: str, value: Any
) -> None:
    with pytest.warns(DeprecationWarning, match=f"{old}= is called {new}= now"):
        made = kind(**others, **{old: value})
    assert made == kind(**others, **{new: value})
    with pytest.warns(DeprecationWarning, match=f"{kind.__name__}.{old} is called {new} now"):
        assert getattr(made, old) == getattr(made, new) == value
    with pytest.raises(attar.BadRequest, match=f"{old} is the old name of {new}: give {new}"):
        kind(**others, **{old: value, new: value})
    with pytest.warns(DeprecationWarning, match=f"{old}="):
        assert dataclasses.replace(made, **{old: value}) == made


def test_keywords_that_had_the_names_of_builtins() -> None:
    quick: dict[str, Any] = {"method": "dm", "iterations": 0, "network": "convnet1:width=8"}
    with pytest.warns(DeprecationWarning) as warned:
        old = attar.condense(
            tiny_data(), images_per_class=2, set="batch_real=3", compile="off", **quick
        )
    told = [str(one.message).partition(" ")[0] for one in warned]
    assert sorted(told) == ["compile=", "images_per_class=", "set="]
    new = attar.condense(
        tiny_data(), synthetic_per_class=2, settings="batch_real=3", torch_compile="off", **quick
    )
    assert old.header.settings == new.header.settings and len(old) == len(new)
    with pytest.warns(DeprecationWarning, match="bytes= is called max_bytes= now"):
        assert len(attar.condense(tiny_data(), bytes=old.totals.paper, **quick))
    for call, names in (
        (lambda **two: attar.condense(tiny_data(), **two, **quick), ("bytes", "max_bytes")),
        (lambda **two: attar.slim(old, 1, **two), ("set", "settings")),
        (lambda **two: attar.evaluate(old, tiny_data(), **two), ("compile", "torch_compile")),
        (lambda **two: attar.train_experts(tiny_data(), **two), ("compile", "torch_compile")),
    ):
        with pytest.raises(attar.BadRequest, match=f"{names[0]} is the old name of {names[1]}"):
            call(**dict.fromkeys(names, "off"))


def test_files_keep_the_names_that_they_had() -> None:
    told = attar.condense(tiny_data(), max_bytes="3kB", method="random").header
    assert told.budget["bytes"] == 3000 and "images_per_class" in told.model_dump()
    asked = attar.Request(settings={"pool": 2}, torch_compile="off", max_bytes=9).command("x")
    for option in ("--bytes 9", "--compile off", "--set pool=2"):
        assert option in asked


def test_a_file_written_under_the_old_names_loads(tmp_path: Path) -> None:
    # the header as version 0.1.0 wrote it, before any of these names
    header = {
        "format": "attar.artefact",
        "version": 2,
        "class_names": ["a", "b"],
        "shape": [1, 2, 2],
        "images_per_class": 1,
        "parametrization": {"name": "pixels"},
        "storage": "float32",
        "mean": [0.5],
        "std": [0.25],
        "zca": "none",
        "budget": {"ipc": None, "bytes": 32, "images_per_class": None, "count": "all", "limit": 32},
        "method": "random",
        "settings": {"card": "dsa-1000"},
    }
    path = tmp_path / "old.safetensors"
    save_tensors(path, {"images.values": torch.zeros(2, 1, 2, 2)}, header)
    found = attar.load(path)
    assert found.header.settings["card"] == "dsa-1000" and found.totals.limit == 32
    assert header.items() <= found.header.model_dump(mode="json").items()


def test_an_old_name_is_no_type_of_the_fields_beside_it() -> None:
    @fields(float="number", bytes="text", int="elsewhere")
    @dataclasses.dataclass
    class Kind:
        number: float = 0.0
        text: bytes = b""

    # as where a module imports annotations from __future__: read among the class's attributes
    Kind.__annotations__ = {"number": "float", "text": "bytes"}
    assert typing.get_type_hints(Kind) == {"number": float, "text": bytes}
    with pytest.warns(DeprecationWarning, match="Kind.float is called number now"):
        assert Kind(number=2.0).float == 2.0  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="'Kind' object has no attribute 'int'"):
        Kind().int  # type: ignore[attr-defined]  # noqa: B018
    assert copy.deepcopy(pickle.loads(pickle.dumps(attar.Request()))) == attar.Request()


@pytest.mark.parametrize("kind", [attar.Request, SlimRequest, ExpertsRequest, EvaluationRequest])
def test_the_types_of_fields_are_types(kind: Any) -> None:
    for name, hint in typing.get_type_hints(kind).items():
        assert not isinstance(hint, property), name
