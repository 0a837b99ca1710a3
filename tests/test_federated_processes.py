"""Processes of Flower's own over loopback; seen with flwr 1.42.0 (extra `flower`)."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("flwr", reason="needs Flower: pip install 'attar[flower]'")

import attar
from attar.applications.federated.results import FederatedResult

# seconds for all together: on a busy machine every process takes a minute to begin, and Flower
# begins one for each message
LONGEST = 1200.0
PROJECT = """\
[project]
name = "condensed"
version = "1.0.0"
dependencies = []

[tool.flwr.app]
publisher = "me"

[tool.flwr.app.components]
serverapp = "condensed:server"
clientapp = "condensed:client"
"""
APP = """\
from attar.applications.federated.flower import apps

__all__ = ["client", "server"]
server, client = apps(
    "digits", 2, 8, {output!r},
    classes=4, per_class=12, updates=2, repeats=1, validation=0, network="convnet1:width=4",
    device="cpu", method="random", timeout=600.0,
)
"""
CONFIG = """\
[superlink]
default = "here"

[superlink.here]
address = "127.0.0.1:{port}"
insecure = true
"""


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def started(command: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    """Run a program, and end it with all that it started."""
    with log.open("wb") as told:
        process = subprocess.Popen(
            command, env=environment, stdout=told, stderr=told, start_new_session=True
        )
    try:
        yield
    finally:
        for how, seconds in ((signal.SIGTERM, 30), (signal.SIGKILL, 30)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)


def until_there(port: int, until: float) -> None:
    while time.monotonic() < until:
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
            return
        time.sleep(1)
    raise AssertionError("no SuperLink was there in time")


@pytest.mark.slow
def test_two_supernodes_over_loopback(tmp_path: Path) -> None:
    until = time.monotonic() + LONGEST
    app, home, output = tmp_path / "app", tmp_path / "home", tmp_path / "federated"
    app.mkdir()
    home.mkdir()
    link, *nodes = free_ports(3)
    (app / "pyproject.toml").write_text(PROJECT)
    (app / "condensed.py").write_text(APP.format(output=str(output)))
    (home / "config.toml").write_text(CONFIG.format(port=link))
    programs = Path(sys.executable).parent
    environment = {
        **os.environ,
        **{"FLWR_HOME": str(home), "FLWR_TELEMETRY_ENABLED": "0", "OMP_NUM_THREADS": "1"},
        **{"FLWR_DISABLE_UPDATE_CHECK": "1", "PATH": f"{programs}:{os.environ['PATH']}"},
        "PYTHONPATH": str(Path(attar.__file__).parents[1]),
    }
    own = ["--insecure", "--host", "127.0.0.1", "--port"]
    superlink = ["flower-superlink", *own, str(link), "--disable-runtime-dependency-installation"]
    with contextlib.ExitStack() as running:
        running.enter_context(started(superlink, environment, tmp_path / "superlink.log"))
        until_there(link, until)
        for number, port in enumerate(nodes):
            which = f"partition-id={number} num-partitions=2"
            node = ["flower-supernode", *own, str(port), "--superlink", f"127.0.0.1:{link}"]
            command = [*node, "--node-config", which]
            running.enter_context(started(command, environment, tmp_path / f"node-{number}.log"))
        told = subprocess.run(
            ["flwr", "run", str(app), "here", "--stream"],
            env=environment, capture_output=True, text=True, timeout=until - time.monotonic(),
        )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    result = FederatedResult.load(output / "results.json")
    assert [one.participants for one in result.rounds] == [1, 2], told.stdout
    for one in result.rounds:
        assert not one.refused and one.accuracies and one.counted is not None
        assert one.counted > one.carried > 0
