"""The code of docs/training.md runs as it stands."""

import importlib.util
import re
from pathlib import Path

import pytest

import attar

PAGE = Path(__file__).parents[1] / "docs" / "training.md"
# which Attar does not need
OTHERS = ("timm", "lightning")


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)


# scikit-learn 1.5 gives SciPy 1.17 an option that it warns of
@pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning")
def test_every_block_runs_after_those_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    attar.condense("digits", method="random", ipc=10, output="set.safetensors")
    known: dict = {"__name__": "training"}
    found = blocks()
    assert len(found) == 6
    for number, block in enumerate(found):
        imported = re.findall(r"^(?:import|from) (\w+)", block, re.M)
        if all(importlib.util.find_spec(name) for name in imported if name in OTHERS):
            exec(compile(block, f"{PAGE.name}, block {number + 1}", "exec"), known)
