"""What a newcomer types wrongly, and what would only alarm."""

import logging
import subprocess
import sys

import pytest
import torch

import attar
from attar.cli import run
from attar.compute import choose, compiled
from attar.networks import make


@pytest.mark.parametrize(
    ("word", "near"), [("condence", "condense"), ("condens", "condense"), ("methds", "methods")]
)
def test_near_names_of_commands(word: str, near: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([word, "digits"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"attar: unknown command '{word}' (did you mean '{near}'")
    assert said.count("\n") == 1 and "There is: audit, bench" in said


def test_an_unknown_command_needs_no_torch() -> None:
    code = (
        "import sys\nfrom attar.cli import run\n"
        "assert run(['condence']) == 2\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_options_of_a_network_have_commas() -> None:
    words = "options have commas between them, as in convnet3:width=16,norm=batch"
    with pytest.raises(attar.BadRequest, match=words):
        make("convnet3:width=16:norm=batch", 3, (32, 32), 10)


def test_recipes_are_listed() -> None:
    assert attar.list_recipes() == attar.list_cards()
    assert "dsa-1000" in attar.list_recipes("dsa*")


def test_compiling_for_a_cpu_says_nothing_of_cuda(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("torch.utils.cpp_extension")

    def warned() -> None:
        # as torch 2.15 does where Inductor is imported, a toolkit is there and no GPU
        logger.warning("No CUDA runtime is found, using CUDA_HOME='%s'", "/usr/local/cuda")
        logger.warning("something else")

    compute = choose("cpu", "float32", "on", pixels=1)
    # in torch 2.7 what its loggers say goes no further up
    logger.addHandler(caplog.handler)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "compile", lambda function, **_: function)
            patch.setattr(logger, "propagate", False)
            compiled(warned, compute)()
    finally:
        logger.removeHandler(caplog.handler)
    assert [record.getMessage() for record in caplog.records] == ["something else"]
