"""Runs that SIGKILL ends and another process goes on with: methods that keep more than images."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import attar
from catalogue import tiny_data

CHILD = textwrap.dedent(
    """
    import json, os, signal, sys
    import torch
    import attar

    torch.set_num_threads(1)
    source, part, whole, options = *sys.argv[1:4], json.loads(sys.argv[4])

    class Dying(attar.Callback):
        def stepped(self, step, loss, share, seconds):
            if step == 3:
                os.kill(os.getpid(), signal.SIGKILL)

    def run(output, **more):
        attar.condense(source, output=output, checkpoint_seconds=0, **options, **more)

    child = os.fork()
    if child == 0:
        run(part, callback=Dying())
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
    assert not os.path.exists(part)
    run(part, resume=True)
    run(whole)
    """
)
COMMON: dict[str, Any] = {
    "ipc": 2,
    "iterations": 5,
    "network": "convnet2:width=8",
    "validation": 0,
    "precision": "float32",
    "torch_compile": "off",
}
HABA = ("steps=2", "expert_epochs=1", "max_start=1", "lr_teacher=0.01")
METHODS: dict[str, dict[str, Any]] = {
    "haba": {"settings": HABA, "lr": 0.1},
    "remember-the-past": {"settings": ("steps=2", "batch=2", "batch_real=4")},
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the child forks")
@pytest.mark.parametrize("method", METHODS)
def test_a_killed_run_goes_on_to_the_same_file(method: str, tmp_path: Path) -> None:
    path = tmp_path / "tiny.npz"
    train, test = tiny_data(counts=(12, 12, 12)), tiny_data(counts=(4, 4, 4), seed=1)
    arrays = {"x_train": train.images[:, 0], "x_test": test.images[:, 0]}
    labels = {"y_train": train.labels, "y_test": test.labels}
    np.savez(path, **{name: one.numpy() for name, one in (arrays | labels).items()})
    source, options = f"npz:{path}", COMMON | METHODS[method] | {"method": method}
    if method == "haba":
        experts = tmp_path / "experts"
        network = options["network"]
        attar.train_experts(
            source, network=network, count=2, epochs=1, output=experts, torch_compile="off"
        )
        options["experts"] = str(experts)
    part, whole = tmp_path / "part.safetensors", tmp_path / "whole.safetensors"

    done = subprocess.run(
        [sys.executable, "-c", CHILD, source, str(part), str(whole), json.dumps(options)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = attar.load(part), attar.load(whole)
    for name, one in first.synthetic.state_dict().items():
        assert one.equal(second.synthetic.state_dict()[name]), name
    assert first.learned.keys() == second.learned.keys()
    assert all(one.equal(second.learned[name]) for name, one in first.learned.items())
