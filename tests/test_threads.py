"""How many threads are taken; the loads are given, none is measured against a clock."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import attar
from attar import threads
from attar.cli import run
from attar.condensing.checkpoint import threads_of
from attar.condensing.paths import Paths
from attar.errors import BadRequest
from attar.tensors import read_header
from attar.threads import Choice, Moment, busy_between, choose, moment, share

QUICK = (
    *("--method", "dm", "--ipc", "1", "--iterations", "2", "--network", "convnet2:width=8"),
    *("--set", "batch_real=4", "--validation", "0", "--device", "cpu", "--compile", "off"),
)


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "tiny.npz"
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    labels = np.arange(20) % 2
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return f"npz:{path}"


@pytest.fixture
def free_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four cores, one of them busy, and nothing said in the environment."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "cores", lambda: 4)
    monkeypatch.setattr(threads, "busy_cores", lambda: 1.0)


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


# the rule


@pytest.mark.parametrize(
    ("cores", "busy", "count", "why"),
    [
        (2, 0.0, 2, ""),
        (2, 0.3, 2, ""),
        (2, 1.0, 1, "1 of 2 cores is busy"),
        (2, 2.0, 1, "2 of 2 cores are busy"),
        # more programs than cores
        (2, 9.0, 1, "2 of 2 cores are busy"),
        (1, 1.0, 1, ""),
        (16, 3.2, 13, "3 of 16 cores are busy"),
        (16, 15.9, 1, "16 of 16 cores are busy"),
        (8, None, 8, ""),
    ],
)
def test_one_thread_for_every_free_core(
    cores: int, busy: float | None, count: int, why: str
) -> None:
    assert choose(None, {}, cores, busy) == Choice(count, why)


def test_what_is_said_goes_before_what_is_free() -> None:
    said = {"OMP_NUM_THREADS": "3"}
    assert choose(5, said, 2, 2.0, kept=1) == Choice(5, "more than the 2 cores there are")
    assert choose(2, said, 2, 2.0) == Choice(2)
    assert choose(None, said, 2, 2.0, kept=1) == Choice(3, "as OMP_NUM_THREADS says")
    assert choose(None, {"MKL_NUM_THREADS": "2"}, 8, 0.0).count == 2
    # a number for each level of nested threads; no number at all
    assert choose(None, {"OMP_NUM_THREADS": "4,2"}, 8, 0.0).count == 4
    assert choose(None, {"OMP_NUM_THREADS": ""}, 8, 0.0).count == 8
    with pytest.raises(BadRequest, match="--threads 0: at least 1"):
        choose(0, {}, 2, 0.0)


def test_a_run_goes_on_with_the_threads_that_it_began_with() -> None:
    assert choose(None, {}, 4, 3.0, kept=4) == Choice(4, "as the run began, so that it repeats")
    # of a larger machine
    assert choose(None, {}, 2, 0.0, kept=16) == Choice(2)


def test_words() -> None:
    assert str(Choice(1, "1 of 2 cores is busy")) == "1 thread (1 of 2 cores is busy)"
    assert str(Choice(2)) == "2 threads"


# what is seen of the machine


def test_the_own_work_keeps_no_core_busy() -> None:
    first, last = Moment(10.0, 100.0, 5.0), Moment(12.0, 103.0, 6.0)
    assert busy_between(first, last) == 1.0
    # clocks of different kinds may disagree a little
    assert busy_between(first, Moment(12.0, 100.9, 6.0)) == 0.0


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity")
def test_only_the_cores_that_may_be_used_are_looked_at() -> None:
    own = sorted(os.sched_getaffinity(0))
    tick = os.sysconf("SC_CLK_TCK")
    # user nice system idle iowait irq softirq steal guest guest_nice
    lines = [f"cpu{n} {tick} 900 {tick} 700 800 {tick} {tick} {tick} 0 0" for n in own]
    text = "\n".join(["cpu 1 2 3 4 5 6 7 8 9 9", *lines, "cpu98765 9 9 9 9 9 9 9 9 0 0", "intr 1"])
    found = moment(text)
    assert found is not None and found.busy == 5 * len(own)
    # sandboxes that show a file of zeros
    assert moment("cpu 0 0 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0") is None


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.cfs_quota_us": "400000\n", "cpu.cfs_period_us": "100000\n"}, 4.0),
        ({"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": "what"}, None),
        ({}, None),
    ],
)
def test_a_control_group_limits_the_cores(
    files: dict[str, str], cores: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="ascii")
    monkeypatch.setattr(threads, "_group_folders", lambda: [tmp_path, tmp_path / "none"])
    assert threads.quota() == cores
    assert 1 <= threads.cores() <= (cores or 10_000)


def test_processes_share_what_is_free(free_machine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (share(1), share(3), share(100)) == (3, 1, 1)
    assert threads.environment(2) == {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert share(4) == 2


# commands and calls


def test_a_command_says_how_many_and_why(
    free_machine: None, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set.safetensors"
    assert run(["condense", source, *QUICK, "-o", str(out)]) == 0
    assert "3 threads (1 of 4 cores is busy)" in capsys.readouterr().err
    assert torch.get_num_threads() == 3
    assert attar.load(out).header.provenance["threads"] == 3
    assert run(["evaluate", str(out), "--repeats", "1", "--epochs", "1", "--json"]) == 0
    told = capsys.readouterr()
    assert "compute: 3 threads (1 of 4 cores is busy)" in told.err
    assert '"threads": 3' in told.out
    assert run(["condense", source, *QUICK, "--threads", "2", "--overwrite", "-o", str(out)]) == 0
    assert ", 2 threads, " in capsys.readouterr().err
    assert "--threads 2" in attar.load(out).header.provenance["command"]


def test_a_call_leaves_the_process_as_it_was(source: str) -> None:
    torch.set_num_threads(2)
    options = {"method": "dm", "network": "convnet2:width=8", "iterations": 1, "validation": 0}
    made = attar.condense(source, torch_compile="off", **options)
    assert made.header.provenance["threads"] == 2
    made = attar.condense(source, torch_compile="off", threads=1, **options)
    assert made.header.provenance["threads"] == 1 and torch.get_num_threads() == 2
    with pytest.raises(BadRequest, match="--threads 0: at least 1"):
        attar.condense(source, threads=0, **options)


def test_a_checkpoint_keeps_the_number_and_any_other_may_go_on(
    free_machine: None, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set.safetensors"
    options = {"method": "dm", "network": "convnet2:width=8", "iterations": 2, "validation": 0}
    options |= {"settings": ("batch_real=4",), "device": "cpu", "torch_compile": "off", "ipc": 1}

    class Ending(attar.Callback):
        def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
            if step == 2:
                raise attar.RunFailed("ended")

    torch.set_num_threads(2)
    with pytest.raises(attar.RunFailed):
        attar.condense(source, output=out, checkpoint_seconds=0, callback=Ending(), **options)
    checkpoint = Paths(out).checkpoint
    assert threads_of(checkpoint) == 2
    assert "threads" not in read_header(checkpoint)["identity"]["compute"]
    assert run(["condense", source, *QUICK, "--resume", "-o", str(out)]) == 0
    assert "2 threads (as the run began" in capsys.readouterr().err
    assert threads_of(tmp_path / "none.safetensors") is None
