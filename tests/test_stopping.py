import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import attar
from attar import stopping
from attar.cli import run
from attar.condensing.paths import Paths
from attar.errors import BadRequest
from attar.locking import sole_writer

pytestmark = pytest.mark.usefixtures("minding_ctrl_c")
BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@pytest.fixture
def source(tmp_path: Path) -> str:
    """Two classes of twelve small images, as a file."""
    draw = np.random.default_rng(0)
    path = tmp_path / "tiny.npz"
    np.savez(path, images=draw.integers(0, 255, (24, 8, 8), np.uint8), labels=np.arange(24) % 2)
    return f"npz:{path}"


def until(there: Callable[[], bool], child: subprocess.Popen[str]) -> None:
    """Wait, however busy the machine is; the end of the process ends it, too."""
    while not there() and child.poll() is None:
        time.sleep(0.01)


def begun(source: str, out: Path, *more: str) -> subprocess.Popen[str]:
    """An `attar condense` that goes on until it is stopped."""
    options = ["--method", "dm", "--compile", "off", "--iterations", "1000000"]
    command = [sys.executable, "-m", "attar", "condense", source, "-o", str(out), *options]
    return subprocess.Popen([*command, *more], stderr=subprocess.PIPE, text=True)


@BOTH
def test_the_first_request_is_noted_and_the_second_interrupts(number: signal.Signals) -> None:
    stop, told = threading.Event(), list[str]()
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    with stopping.terminated_as_interrupted():
        with stopping.listening(stop, lambda: told.append("told")):
            signal.raise_signal(number)
            assert stop.is_set() and told == ["told"]
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert {one: signal.getsignal(one) for one in before} == before


def test_what_a_program_does_with_sigterm_stays_its_own() -> None:
    seen = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        stop = threading.Event()
        with stopping.terminated_as_interrupted(), stopping.listening(stop):
            signal.raise_signal(signal.SIGTERM)
        assert seen == [signal.SIGTERM] and not stop.is_set()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_thread_listens_to_nothing() -> None:
    found = []

    def work() -> None:
        with stopping.terminated_as_interrupted(), stopping.listening(threading.Event()):
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM)]


@BOTH
def test_a_stopped_condensation_keeps_a_checkpoint_and_says_how_to_go_on(
    number: signal.Signals, source: str, tmp_path: Path
) -> None:
    out = tmp_path / "set.safetensors"
    child = begun(source, out, "--checkpoint-seconds", "1000")
    until(Paths(out).log.exists, child)
    child.send_signal(number)
    _, told = child.communicate()
    assert child.returncode == 1
    # a signal before the first step finds nothing to keep
    if "interrupted at step" in told:
        assert "continue with --resume" in told and Paths(out).checkpoint.exists()
    assert "Traceback" not in told and "interrupted" in told
    assert not out.with_name(f".{out.name}.lock").exists()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["evaluate", "slim", "experts"])
def test_other_commands_end_in_a_sentence(command: str, tmp_path: Path) -> None:
    attar.condense("digits", method="random", ipc=2, output=tmp_path / "set.safetensors")
    words = {
        "evaluate": "set.safetensors --repeats 1 --epochs 1000000",
        "slim": "set.safetensors --ipc 1 -o small.safetensors --iterations 1000000",
        "experts": "digits --count 1000 --epochs 9 --network convnet1:width=4 -o experts",
    }[command].split()
    program = [sys.executable, "-m", "attar", command, *words, "--compile", "off"]
    child = subprocess.Popen(program, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert child.stderr is not None
    first = child.stderr.readline()
    child.send_signal(signal.SIGTERM)
    told = first + child.communicate()[1]
    assert child.returncode == 1, told
    assert "interrupted" in told and "Traceback" not in told


def test_a_second_writer_is_refused_at_once(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "set.safetensors"
    child = begun(source, out)
    until(Paths(out).log.exists, child)
    for more in ([], ["--resume"], ["--overwrite"]):
        assert run(["condense", source, "-o", str(out), *more]) == 2
        assert "another run is writing it" in capsys.readouterr().err
    attar.condense(source, method="random", ipc=2, output=tmp_path / "set.safetensors")
    with pytest.raises(BadRequest, match="another run is writing it"):
        attar.slim(tmp_path / "set.safetensors", 1, learning_free=True, output=out)
    # killed, it blocks nothing
    child.kill()
    child.communicate()
    made = attar.condense(source, method="random", ipc=1, output=out, overwrite=True)
    assert out.exists() and made.header.method == "random"
    assert not out.with_name(f".{out.name}.lock").exists()


def test_a_lock_leaves_nothing_where_nothing_came_of_it(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b" / "set.safetensors"
    with pytest.raises(BadRequest, match="unknown method"):
        attar.condense("digits", method="nothing", output=out)
    with sole_writer(out):
        assert out.parent.is_dir()
    assert list(tmp_path.iterdir()) == []
    with sole_writer(out):
        out.write_text("something")
    assert list(out.parent.iterdir()) == [out]
