"""Flower's simulation engine; seen with flwr 1.42.0 and ray 2.55.1 (flwr[simulation]).

Run in a process of its own: the engine starts others, and leaves threads behind.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import attar
from attar.applications.federated.results import FederatedResult

PROGRAM = """
import sys
from flwr.simulation import run_simulation
from attar.applications.federated.flower import apps

server, client = apps(
    "digits", 2, 8, sys.argv[1],
    classes=4, per_class=12, updates=2, repeats=1, validation=0, network="convnet1:width=4",
    device="cpu", method="random", timeout=300.0,
)
each = {"num_cpus": 1, "num_gpus": 0.0}
run_simulation(server, client, 2, backend_config={"init_args": each, "client_resources": each})
"""


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("flwr") is None or find_spec("ray") is None, reason="needs flwr[simulation]"
)
def test_the_simulation_engine_runs_the_same(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        **{"FLWR_TELEMETRY_ENABLED": "0", "OMP_NUM_THREADS": "1"},
        "PYTHONPATH": str(Path(attar.__file__).parents[1]),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    # on a busy machine ray gives up before anything of ours begins: its agents have 15 to 20 s
    if "The current node timed out during startup" in done.stderr:
        pytest.skip("ray did not start in its own time")
    assert done.returncode == 0, done.stderr[-3000:]
    result = FederatedResult.load(tmp_path / "results.json")
    assert [one.participants for one in result.rounds] == [1, 2]
    for one in result.rounds:
        assert not one.refused and one.accuracies and one.counted is not None
        assert one.counted > one.carried > 0
