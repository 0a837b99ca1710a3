"""benchmarks/digests.py: every method is in it, in a few updates, and gives the same twice."""

import importlib
from pathlib import Path

import pytest

from attar.methods import METHODS

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


def test_every_method_that_is_trained_has_a_few_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    digests = importlib.import_module("digests")
    trained = {name for name, one in METHODS.items() if not one.coreset} - {*digests.LEFT_OUT}
    assert trained == set(digests.OBJECTIVE_OF)
    assert set(digests.OBJECTIVE_OF.values()) <= set(digests.SHORT)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["kd", "fastdc"])
def test_a_digest_repeats(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    digests = importlib.import_module("digests")
    found = [digests.condensed(method, tmp_path, ipc=1, seed=seed) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
