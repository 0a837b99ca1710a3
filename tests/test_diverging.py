"""Runs whose images end far from real ones say so, and no others do."""

import re
import warnings
from typing import Any

import pytest
import torch

import attar
from attar.data import Splits
from catalogue import tiny_data

DATA = tiny_data()
BATCH = "convnet2:width=8,norm=batch"
QUICK: dict[str, Any] = {
    "device": "cpu",
    "precision": "float32",
    "torch_compile": "off",
    "validation": 0,
    "iterations": 10,
    "ipc": 1,
}


def made(**options: Any) -> attar.Artefact:
    return attar.condense(Splits(DATA, DATA), **(QUICK | {"network": BATCH} | options))


def test_a_run_that_diverged_says_so_with_what_helps() -> None:
    with pytest.warns(UserWarning, match="the run has probably diverged") as caught:
        found = made(method="lodm", lr=1e6)
    (said,) = (str(one.message) for one in caught)
    told = re.match(
        r"the images have a standard deviation of (\S+), real ones of (\S+): in (\S+)", said
    )
    assert told is not None and told[3] == BATCH and "lower --lr (now 1e+06)" in said
    real = DATA.take(torch.arange(len(DATA))).std().item()
    assert float(told[1]) == pytest.approx(found.images.std().item(), rel=0.01)
    assert float(told[2]) == pytest.approx(real, rel=0.05)


@pytest.mark.parametrize(
    "options",
    [
        {"method": "lodm"},
        {"method": "dm"},
        {"method": "random", "iterations": None},
        # so few updates are a try
        {"method": "lodm", "lr": 1e6, "iterations": 3},
        # such a network hardly sees the scale of an image
        {"method": "lodm", "lr": 1e6, "network": "convnet2:width=8"},
    ],
)
def test_others_do_not(options: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made(**options)
