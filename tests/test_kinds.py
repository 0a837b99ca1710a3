import dataclasses
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import attar
from attar.condensing.request import Request
from attar.coresets import SELECTORS
from attar.errors import BadRequest
from attar.experts.request import ExpertsRequest
from attar.kinds import Settings
from attar.objectives import OBJECTIVES, DatasetDistillation, WeightedSum
from attar.optimisers import Optimiser
from attar.slimming.request import SlimRequest
from attar.storage import STORAGES
from attar.synthetic.forms import PARAMETRIZATIONS

OUT = "set.safetensors"
A_METHOD = "a name such as 'lodm', an attar.Method, or an attar.Recipe is needed"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"method": 3}, f"method=3: {A_METHOD}"),
        ({"method": ["dm"]}, f"method=['dm']: {A_METHOD}"),
        ({"objective": 3}, "objective=3: a name, or an attar objective, is needed"),
        ({"form": 3}, "form=3: a name, or an attar form, is needed"),
        ({"settings": 3}, "--set 3: several of them (a text each) or a mapping is needed"),
        ({"seed": True}, "--seed True: a whole number is needed"),
        ({"seed": 1.0}, "--seed 1.0: a whole number is needed"),
        ({"seed": np.int64(1)}, f"--seed {np.int64(1)!r}: a whole number is needed"),
        ({"lr": "a"}, "--lr 'a': a number is needed"),
        ({"lr": True}, "--lr True: a number is needed"),
        ({"average": "x"}, "--average 'x': a number is needed"),
        ({"minutes": [1]}, "--minutes [1]: a number is needed"),
        ({"validation": "0.1"}, "--validation '0.1': a number is needed"),
        ({"output": 5}, "-o 5: a path is needed"),
        ({"tensorboard": 5}, "--tensorboard 5: a path is needed"),
        ({"device": None}, "--device None: a text is needed"),
        ({"card": 3}, "--card 3: a text is needed"),
        ({"resume": 1, "output": OUT}, "--resume 1: True or False is needed"),
        ({"nested": "no"}, "--nested 'no': True or False is needed"),
        ({"max_bytes": 1.5}, "--bytes 1.5: a text or a whole number is needed"),
        ({"settings": 5}, "--set 5: several of them (a text each) or a mapping is needed"),
        (
            {"settings": ("a=1", 2)},
            "--set ('a=1', 2): several of them (a text each) or a mapping is needed",
        ),
        ({"checkpoint_seconds": "now"}, "--checkpoint-seconds 'now': a number is needed"),
    ],
)
def test_values_of_another_kind_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(BadRequest) as error:
        Request(**options)
    assert str(error.value) == text


@pytest.mark.parametrize("kind", [Request, SlimRequest, ExpertsRequest])
def test_no_field_answers_a_foreign_object_with_a_type_error(kind: Any) -> None:
    fixed = {"ipc": 1} if kind is SlimRequest else {}
    for name in kind.__dataclass_fields__:
        mapping = () if name == "settings" else ({"a": 1},)
        for value in (object(), 1j, [object()], *mapping):
            with pytest.raises(BadRequest):
                kind(**{**fixed, name: value})


TERM = DatasetDistillation()
KINDS: dict[str, Mapping[str, Any]] = {
    "objectives": OBJECTIVES,
    "forms": PARAMETRIZATIONS,
    "storages": STORAGES,
    "selectors": SELECTORS,
    "others": {"optimiser": partial(Optimiser, lr=1.0)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_setting_answers_a_foreign_object_with_a_type_error(kind: str) -> None:
    for make in KINDS[kind].values():
        fields = dataclasses.fields(getattr(make, "func", make))
        if kind == "objectives" and fields[0].default is dataclasses.MISSING:
            # made of others
            make = partial(make, [TERM] if make is WeightedSum else TERM)
        for item in fields:
            if not isinstance(item.default, bool | int | float | str):
                continue
            for wrong in ("a", 3.5, None, [1], object()):
                if isinstance(wrong, type(item.default)):
                    continue
                with pytest.raises(BadRequest, match=rf"^{item.name} .*(needed|allowed|or more)"):
                    make(**{item.name: wrong})


def test_settings_of_numpy_become_plain_numbers() -> None:
    one = DatasetDistillation(steps=np.int64(3), lr_start=np.float32(0.5))  # pyright: ignore[reportArgumentType]
    assert one == DatasetDistillation(steps=3, lr_start=0.5)
    assert type(one.steps) is int and type(one.lr_start) is float
    with pytest.raises(BadRequest, match=r"^rounds True: a whole number is needed"):
        DatasetDistillation(rounds=True)


@dataclass(frozen=True)
class Theirs(Settings):
    known: int = 1
    # a name that is not there when the annotation is read
    other: "Missing" = None  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore


def test_annotations_of_others_that_cannot_be_read_are_left_alone() -> None:
    assert Theirs(known="a").known == "a"  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "call",
    [
        lambda path: attar.evaluate(path, repeats="3"),
        lambda path: attar.evaluate(path, seed=True),
        lambda path: attar.evaluate(path, device=None),
        lambda path: attar.evaluate(path, epochs=1.5),
        lambda path: attar.evaluate(path, vectorized="2"),
        lambda path: attar.slim(path, "1", lr="a"),
        lambda path: attar.condense("digits", classes=3.5),
        lambda path: attar.condense("digits", per_class=True),
        lambda path: attar.condense("digits", resize="x"),
        lambda path: attar.load(path, ipc="x"),
    ],
)
def test_calls_refuse_them_too(call: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / OUT
    attar.condense("digits", method="random", ipc=2, per_class=20, output=path)
    with pytest.raises(BadRequest):
        call(path)


def test_a_path_may_be_a_text_and_a_number_whole(tmp_path: Path) -> None:
    request = Request(output=str(tmp_path / OUT), lr=1, settings="batch_real=3")
    assert request.output == tmp_path / OUT
    assert request.lr == 1 and request.settings == ("batch_real=3",)


def test_the_library_leaves_the_allocator_of_its_process_alone(tmp_path: Path) -> None:
    code = (
        "import attar, attar.memory as memory\n"
        "attar.condense('digits', iterations=1, per_class=20, torch_compile='off', validation=0)\n"
        "assert memory.keep_memory.cache_info().currsize == 0"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
