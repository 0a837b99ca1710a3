"""The examples of training on a set run, and are short."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
# what each needs beside Attar
NEEDS = {
    "train_plain": (),
    "train_torchvision": (),
    "train_sklearn": (),
    "train_timm": ("timm",),
    "train_lightning": ("lightning",),
    "train_hf_trainer": ("transformers", "accelerate", "datasets"),
}


def path_of() -> str:
    return os.pathsep.join([str(EXAMPLES), os.environ.get("PYTHONPATH", "")])


def test_all_are_known() -> None:
    assert {path.stem for path in EXAMPLES.glob("train_*.py")} == set(NEEDS)


@pytest.mark.parametrize("name", NEEDS)
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    path = EXAMPLES / f"{name}.py"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60
    if not all(map(importlib.util.find_spec, NEEDS[name])):
        pytest.skip(f"needs {', '.join(NEEDS[name])}")
    code = f"import {name}; print({name}.main(2))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path_of(), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert 0 <= float(done.stdout.split()[-1]) <= 1
