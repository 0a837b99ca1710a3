import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attar.budget import Budget
from attar.condensing.request import Request
from attar.errors import BadRequest
from attar.wording import option_of

OUT = Path("set.safetensors")


def words(request: Request, source: str = "digits") -> list[str]:
    return shlex.split(request.command(source))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"iterations": -1}, "--iterations -1: 0 or more"),
        ({"minutes": 0.0}, "--minutes 0: more than 0 is needed"),
        ({"minutes": -2.5}, "--minutes -2.5: more than 0 is needed"),
        ({"minutes": float("nan")}, "--minutes nan: more than 0 is needed"),
        ({"minutes": float("inf")}, "--minutes inf: more than 0 is needed"),
        ({"iterations": 5, "minutes": 1.0}, "give --iterations or --minutes, not both"),
        ({"validation": -0.1}, "--validation -0.1: from 0 to 0.5"),
        ({"validation": 0.51}, "--validation 0.51: from 0 to 0.5"),
        ({"validation": float("nan")}, "--validation nan: from 0 to 0.5"),
        ({"validations": 0}, "--validations 0: at least 1; --validation 0 for none"),
        ({"checkpoint_seconds": -1.0}, "--checkpoint-seconds -1: 0 or more"),
        ({"output": Path("set.pt")}, "-o set.pt: the name must end in .safetensors"),
        ({"output": Path("set")}, "-o set: the name must end in .safetensors"),
        (
            {"resume": True, "overwrite": True, "output": OUT},
            "give --resume or --overwrite, not both",
        ),
        ({"resume": True}, "--resume needs -o: the checkpoint lies beside the output"),
        (
            {"ipc": 1, "max_bytes": "1kB"},
            "give one of --ipc, --bytes, --images-per-class (--ipc and --bytes given)",
        ),
        (
            {"teacher": ""},
            "--teacher '': OUT.teacher.safetensors, a folder that 'attar experts' made, ARCH:FILE "
            "such as resnet18:weights.pth, or the name of a network such as convnet3, which is "
            "trained first; leave it out for the method's own",
        ),
        ({"ipc": 0}, "--ipc 0: at least 1 is needed"),
        ({"max_bytes": 0}, "--bytes 0: at least 1 is needed"),
        ({"synthetic_per_class": -1}, "--images-per-class -1: at least 1 is needed"),
        ({"count": "some"}, "--count 'some': 'paper' or 'all'"),
        (
            {"max_bytes": "a lot"},
            "--bytes 'a lot': write a number and a unit, such as 120kB or 1.5MiB",
        ),
        (
            {"settings": ("batch_real",)},
            "--set 'batch_real': write name=value, such as batch_real=64",
        ),
        ({"settings": ("=5",)}, "--set '=5': write name=value, such as batch_real=64"),
        ({"settings": ("a=1", "")}, "--set '': write name=value, such as batch_real=64"),
    ],
)
def test_refusals(options: dict[str, Any], text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Request(**options)
    assert str(caught.value) == text
    assert caught.value.exit_status == 2


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"iterations": 0},
        {"minutes": 0.01},
        {"validation": 0.0},
        {"validation": 0.5},
        {"checkpoint_seconds": 0.0},
        {"resume": True, "output": OUT},
        {"overwrite": True},
        {"output": Path("a.b/c.d.safetensors")},
    ],
)
def test_limits_that_are_allowed(options: dict[str, Any]) -> None:
    Request(**options)


@pytest.mark.parametrize(
    ("options", "budget"),
    [
        ({}, Budget(ipc=1, count="paper")),
        ({"ipc": 7}, Budget(ipc=7, count="paper")),
        ({"ipc": 7, "count": "all"}, Budget(ipc=7, count="all")),
        # who says bytes means bytes on the disk
        ({"max_bytes": "120kB"}, Budget(max_bytes=120_000, count="all")),
        ({"max_bytes": 777}, Budget(max_bytes=777, count="all")),
        ({"max_bytes": "1KiB", "count": "paper"}, Budget(max_bytes=1024, count="paper")),
        ({"synthetic_per_class": 3}, Budget(synthetic_per_class=3, count="paper")),
        ({"count": "all"}, Budget(ipc=1, count="all")),
    ],
)
def test_budget(options: dict[str, Any], budget: Budget) -> None:
    assert Request(**options).budget() == budget


def test_settings() -> None:
    given = Request(
        settings=("batch_real=64", " augment = none ", "x=a=b", "empty=")
    ).given_settings()
    assert given == {"batch_real": "64", "augment": "none", "x": "a=b", "empty": ""}
    assert Request().given_settings() == {}


def test_the_command_of_nothing_asked_for() -> None:
    assert Request().command("digits") == "attar condense digits -o OUT.safetensors"


def test_the_command_lists_just_what_was_asked_for() -> None:
    request = Request(
        method="dm",
        ipc=10,
        synthetic_per_class=None,
        seed=3,
        checkpoint_seconds=5.0,
        output=Path("somewhere/set.safetensors"),
        overwrite=True,
        tensorboard=Path("events"),
        logger="trackio",
        settings=("batch_real=64", "augment=color_crop"),
    )
    assert request.command("cifar10") == (
        "attar condense cifar10 --method dm --ipc 10 --seed 3 "
        "--set batch_real=64 augment=color_crop -o set.safetensors"
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"max_bytes": "1.5 MiB"}, ["--bytes", "1.5 MiB"]),
        ({"max_bytes": 777}, ["--bytes", "777"]),
        ({"synthetic_per_class": 3}, ["--images-per-class", "3"]),
        ({"minutes": 2.5}, ["--minutes", "2.5"]),
        ({"iterations": 0}, ["--iterations", "0"]),
        ({"validation": 0.0}, ["--validation", "0.0"]),
        (
            {"network": "convnet3:norm=batch,width=64"},
            ["--network", "convnet3:norm=batch,width=64"],
        ),
        ({"storage": "float16"}, ["--storage", "float16"]),
        ({"zca": "none"}, ["--zca", "none"]),
        ({"seed": -3}, ["--seed", "-3"]),
    ],
)
def test_every_option_is_written_as_it_is_given(
    options: dict[str, Any], expected: list[str]
) -> None:
    assert words(Request(**options)) == [
        "attar",
        "condense",
        "digits",
        *expected,
        "-o",
        "OUT.safetensors",
    ]


@pytest.mark.parametrize("source", ["folder:my images", "npz:a'b.npz", "folder:$HOME", "a;rm -rf"])
def test_sources_survive_the_shell(source: str) -> None:
    assert words(Request(), source)[2] == source


def test_all_options_at_once() -> None:
    # whatever option comes later has to be listed, or left out on purpose
    silent = {
        "output",
        "resume",
        "overwrite",
        "checkpoint_seconds",
        "tensorboard",
        "logger",
        "snapshots",
        "workers",
        "ray",
    }
    values: dict[str, Any] = {
        "method": "dm",
        "ipc": 2,
        "count": "all",
        "per_class_budget": "proportional",
        "storage": "float16",
        "objective": "gradient:inner=2",
        "form": "tiled:factor=2",
        "rank": 3,
        "init": "real",
        "iterations": 5,
        "nested": True,
        "bounded": True,
        "lr": 0.5,
        "momentum": 0.25,
        "optimiser": "adam",
        "schedule": "cosine",
        "average": 0.5,
        "network": "convnet2",
        "card": "dc-300",
        "zca": "mtt",
        "experts": Path("experts"),
        "teacher": "convnet3",
        "teacher_storage": "int8",
        "settings": ("a=1",),
        "validation": 0.25,
        "validations": 2,
        "seed": 9,
        "device": "cpu",
        "precision": "float32",
        "torch_compile": "off",
        "chunk": 4,
        "threads": 3,
        "workers": 2,
        "ray": "local",
        "output": OUT,
        "resume": True,
        "checkpoint_seconds": 1.0,
        "tensorboard": Path("events"),
        "logger": "wandb:mine",
        "snapshots": "0,3",
    }
    alternatives = {"max_bytes", "synthetic_per_class", "minutes", "overwrite"}
    assert {field.name for field in fields(Request)} == values.keys() | alternatives
    found = words(Request(**values))
    for name, value in values.items():
        option = option_of(name)
        assert (option in found) == (name not in silent), name
        if name not in silent | {"settings", "nested", "bounded"}:
            assert found[found.index(option) + 1] == str(value)


TEXT = st.text("abc =,:'\"$ \\é", max_size=6)


@given(source=TEXT, network=TEXT, pairs=st.lists(st.tuples(st.just("a"), TEXT), max_size=3))
@settings(deadline=None, max_examples=60)
def test_any_text_survives_the_shell(
    source: str, network: str, pairs: list[tuple[str, str]]
) -> None:
    given_settings = tuple(f"{name}={value}" for name, value in pairs)
    found = words(Request(network=network, settings=given_settings), source)
    expected = ["attar", "condense", source, "--network", network]
    if pairs:
        expected += ["--set", *given_settings]
    assert found == [*expected, "-o", "OUT.safetensors"]


def test_a_request_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Request().seed = 5  # type: ignore[misc]


def test_paths_may_be_given_as_text() -> None:
    assert Request(output="a.safetensors").output == Path("a.safetensors")  # pyright: ignore[reportArgumentType]
    assert Request(settings="batch_real=3").given_settings() == {"batch_real": "3"}  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", ["ipc", "rank", "seed", "iterations", "chunk"])
def test_whole_numbers_are_needed(name: str) -> None:
    with pytest.raises(BadRequest, match=f"--{name} '3': a whole number is needed"):
        Request(**{name: "3"})


def test_a_checkpoint_time_that_is_no_number_is_refused() -> None:
    with pytest.raises(BadRequest, match="--checkpoint-seconds nan"):
        Request(checkpoint_seconds=float("nan"))


def test_data_from_python_is_asked_for_by_a_call() -> None:
    request = Request(method="dm", ipc=2, lr=0.5, output=OUT, resume=True)
    assert request.call() == "attar.condense(data, method='dm', ipc=2, lr=0.5)"
