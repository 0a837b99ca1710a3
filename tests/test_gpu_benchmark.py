"""benchmarks/gpu.py on a machine without a GPU: every kind of part, small, and what is written."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Yield the script as a module; what it sets for a process of its own is set back."""
    monkeypatch.syspath_prepend(str(FOLDER))
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [one.allow_tf32 for one in backends]
    yield importlib.import_module("gpu")
    for one, value in zip(backends, before, strict=True):
        one.allow_tf32 = value


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"method": "lodm", "variant": "float32"}, "seconds"),
        pytest.param({"method": "dc", "variant": "TF32"}, "seconds", marks=pytest.mark.slow),
        ({"method": "mtt", "variant": "float32"}, "wall"),
        ({"method": "lodm", "whole": 1}, "accuracies"),
    ],
    ids=["lodm", "dc", "mtt", "whole"],
)
def test_parts_run_small_on_a_processor(gpu: ModuleType, part: dict[str, Any], told: str) -> None:
    options = gpu.Options("digits", device="cpu", tiny=True)
    assert part in [{**one} for one in gpu.parts(options)]
    found = gpu.measure(options, part)
    assert found["device"] == "cpu" and found[told]
    json.dumps(found)


def test_what_tells_most_comes_first_and_everything_is_written(
    gpu: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "found.json"
    options = gpu.Options("digits", path, plugin=tmp_path, minutes=0.0)
    gpu.main(options)
    told = json.loads(path.read_text(encoding="utf-8"))["parts"]
    assert all(one["why"] == "no time was left" for one in told)
    assert (told[0]["method"], told[0]["variant"]) == ("lodm", "authors")
    places = [place for place, one in enumerate(told) if "whole" in one]
    # behind the first ways of all three methods, the authors' of one, and before the others
    assert places == [10, 11] and len(told) > 20
    longest = sum(gpu.limit(options, one) for one in gpu.parts(options) if "whole" in one)
    assert longest < 60 * gpu.Options("digits").minutes <= 15 * 60


def test_a_part_that_fails_or_takes_too_long_is_told(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess

    def late(*_: Any, **__: Any) -> Any:
        raise subprocess.TimeoutExpired("python", 5)

    monkeypatch.setattr(gpu, "result_of", late)
    options = gpu.Options("digits", tiny=True)
    assert gpu.attempt(options, {"method": "dc"}, 5.0) == {"why": "it took more than 5 s"}
