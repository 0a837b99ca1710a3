"""Iterates that a run keeps beside its artefact."""

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import attar
from attar import Callback, Request, condense
from attar.artefact.snapshots import Snapshots, load_snapshots, snapshots_of, snapshots_path
from attar.condensing.paths import Paths
from attar.errors import ArtefactError, BadRequest, RunFailed
from attar.tensors import read_header, read_tensors, save_tensors
from catalogue import tiny_data
from test_condensing import OPTIONS, Stopping, same, stored

pytestmark = pytest.mark.usefixtures("minding_ctrl_c")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three classes of 12, as a file."""
    path, data = tmp_path_factory.mktemp("data") / "tiny.npz", tiny_data(counts=(12, 12, 12))
    pair = data.images[:, 0].numpy(), data.labels.numpy()
    np.savez(path, x_train=pair[0], y_train=pair[1], x_test=pair[0], y_test=pair[1])
    return f"npz:{path}"


def kept(out: Path) -> list[int]:
    return [one.header.step for one in load_snapshots(snapshots_path(out))]


def run(source: str, out: Path, snapshots: Any, **options: Any) -> attar.Artefact:
    return condense(source, output=out, snapshots=snapshots, **(OPTIONS | options))


@pytest.mark.parametrize(
    ("wanted", "steps"),
    [
        (1, [6]),
        (2, [0, 6]),
        (4, [0, 2, 4, 6]),
        ("3", [0, 3, 6]),
        (99, [0, 1, 2, 3, 4, 5, 6]),
        ("0,5,1", [0, 1, 5]),
        ("4,", [4]),
        ([6, 2, 2], [2, 6]),
    ],
)
def test_so_many_or_those_asked_for_are_kept(
    source: str, out: Path, wanted: Any, steps: list[int]
) -> None:
    run(source, out, wanted)
    assert kept(out) == steps


def test_spread_over_uneven_lengths_begins_at_0_and_ends_at_the_last() -> None:
    def taken(wanted: int, iterations: int) -> list[int]:
        keeper, found = Snapshots(Path("none"), wanted), []
        for step in range(iterations + 1):
            if keeper.due(step, step / iterations):
                keeper._taken = keeper._place(step / iterations)
                found.append(step)
        return found

    # the first step at or after each even share of 7
    assert taken(4, 7) == [0, 3, 5, 7]
    assert taken(6, 20000) == [0, 4000, 8000, 12000, 16000, 20000]
    assert taken(11, 1000) == list(range(0, 1001, 100))


@pytest.mark.parametrize("options", [{}, {"average": 0.9}, {"storage": "float16"}])
def test_each_is_what_a_run_that_stops_there_gives(
    source: str, out: Path, options: dict[str, Any]
) -> None:
    whole = run(source, out, 4, **options)
    for one in load_snapshots(snapshots_path(out)):
        step = one.header.step
        assert same(
            stored(one), stored(condense(source, **(OPTIONS | options | {"iterations": step})))
        )
        assert (one.header.iterate, one.header.validation) == ("last", None)
    assert same(stored(one), stored(whole)) and torch.equal(one.pixels, whole.pixels)


def test_they_are_kept_as_they_are_stored(source: str, out: Path) -> None:
    run(source, out, 3, storage="bfloat16", rank=1)
    tensors = read_tensors(snapshots_path(out))
    assert set(tensors) == {f"{s}/images.{side}" for s in (0, 3, 6) for side in ("left", "right")}
    assert all(tensor.dtype == torch.bfloat16 for tensor in tensors.values())
    assert tensors["3/images.left"].shape[-1] == 1


def test_the_artefact_does_not_depend_on_them(source: str, out: Path) -> None:
    run(source, out, 5)
    other = out.with_name("other.safetensors")
    condense(source, output=other, **OPTIONS)
    pair = attar.load(out), attar.load(other)
    assert same(*map(stored, pair)) and pair[0].header.settings == pair[1].header.settings
    assert "--snapshots" not in pair[0].header.provenance["command"]


def test_whitened_data_bring_their_whitening(source: str, out: Path) -> None:
    run(source, out, 2, zca="frepo", method="dm")
    first, last = load_snapshots(snapshots_path(out))
    assert first.preprocessing.whitening is not None
    assert torch.equal(last.pixels, attar.load(out).pixels)


def test_a_resumed_run_keeps_its_own_and_adds_the_rest(source: str, out: Path) -> None:
    with pytest.raises(RunFailed, match="interrupted at step 3"):
        run(source, out, 4, callback=Stopping(3))
    assert kept(out) == [0, 2]
    run(source, out, 4, resume=True)
    whole = out.with_name("whole.safetensors")
    run(source, whole, 4)
    ends = [snapshots_path(path) for path in (out, whole)]
    assert kept(out) == [0, 2, 4, 6] and same(*map(read_tensors, ends))


def test_a_run_resumed_for_longer_follows_the_new_length(source: str, out: Path) -> None:
    with pytest.raises(RunFailed):
        run(source, out, 4, callback=Stopping(3))
    run(source, out, 4, resume=True, iterations=9)
    # 0 and 2 of a run of 6, then 6 and 9 of one of 9
    assert kept(out) == [0, 2, 6, 9]


def test_a_resumed_run_may_ask_for_others(source: str, out: Path) -> None:
    with pytest.raises(RunFailed):
        run(source, out, "1,2,3", callback=Stopping(3))
    run(source, out, 3, resume=True)
    assert kept(out) == [1, 2, 3, 6]
    with pytest.raises(RunFailed):
        run(source, out, "1,", callback=Stopping(3), overwrite=True)
    run(source, out, None, resume=True)
    assert kept(out) == [1]


class Left(Callback):
    """Is asked to stop as the second validation begins, after the one that is timed."""

    begun = 0

    def phase(self, name: str) -> None:
        self.begun += name == "validating"
        if name == "validating" and self.begun == 3:
            signal.raise_signal(signal.SIGINT)


def test_one_whose_validation_was_left_is_kept_by_the_run_that_goes_on(
    source: str, out: Path
) -> None:
    options = {"validation": 0.25, "validations": 3}
    with pytest.raises(RunFailed, match="interrupted at step 4"):
        run(source, out, 4, callback=Left(), **options)
    assert kept(out) == [0, 2, 4]
    run(source, out, 4, resume=True, **options)
    assert kept(out) == [0, 2, 4, 6]


def test_those_after_the_checkpoint_are_done_again(source: str, out: Path) -> None:
    with pytest.raises(RunFailed):
        run(source, out, "1,2", callback=Stopping(2))
    checkpoint = Paths(out).checkpoint.read_bytes()
    with pytest.raises(RunFailed):
        run(source, out, "4,", callback=Stopping(5), resume=True)
    assert kept(out) == [1, 2, 4]
    # as if killed before the next checkpoint was written
    Paths(out).checkpoint.write_bytes(checkpoint)
    run(source, out, "5,", resume=True)
    assert kept(out) == [1, 2, 5]


def test_overwriting_removes_those_of_the_earlier_run(source: str, out: Path) -> None:
    run(source, out, 3)
    run(source, out, None, overwrite=True, seed=1)
    assert not snapshots_path(out).exists()
    run(source, out, "2,", overwrite=True, seed=2)
    assert kept(out) == [2] and load_snapshots(snapshots_path(out))[0].header.seed == 2


def test_those_of_another_run_are_not_taken_for_its_own(source: str, out: Path) -> None:
    run(source, out, 2)
    other = out.with_name("other.safetensors")
    artefact = run(source, other, None, seed=1)
    with pytest.raises(BadRequest, match=r"no snapshots of .*other.*--snapshots 10"):
        snapshots_of(other, artefact)
    snapshots_path(out).rename(snapshots_path(other))
    with pytest.raises(BadRequest, match="the snapshots of another run than that of other"):
        snapshots_of(other, artefact)


def test_a_complete_run_without_any_is_not_done_again(source: str, out: Path) -> None:
    run(source, out, None)
    with pytest.raises(BadRequest, match=r"--snapshots: the run of .* is complete and kept none"):
        run(source, out, 3, resume=True)
    run(source, out, 3, overwrite=True)
    assert run(source, out, 3, resume=True).header.step == 6 and kept(out) == [0, 3, 6]


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (0, "--snapshots 0: a number of iterates from 1"),
        (-3, "a number of iterates from 1"),
        ("many", "--snapshots many: a number"),
        ("1,x", "steps from 0 with commas"),
        (True, "--snapshots True"),
        ((1, -1), "steps from 0"),
        ((), "--snapshots"),
        (2.5, "--snapshots 2.5"),
    ],
)
def test_what_is_no_number_is_refused(wanted: Any, text: str) -> None:
    with pytest.raises(BadRequest, match=text):
        Request(snapshots=wanted, output=Path("a.safetensors"))


def test_steps_beyond_the_run_are_refused_before_it(source: str, out: Path) -> None:
    with pytest.raises(BadRequest, match="step 7 is not in a run of 6 iterations"):
        run(source, out, "0,7,9")
    assert not list(out.parent.iterdir())
    with pytest.raises(BadRequest, match="--snapshots needs -o"):
        condense(source, snapshots=2, **OPTIONS)


@pytest.mark.parametrize("damage", ["truncated", "foreign", "artefact", "odd", "unfit"])
def test_a_damaged_file_is_refused(source: str, out: Path, damage: str) -> None:
    run(source, out, 2)
    path = snapshots_path(out)
    header, tensors = read_header(path), read_tensors(path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-40])
    elif damage == "foreign":
        path.write_text("no tensors in here, but words enough to be read as such")
    elif damage == "artefact":
        path.write_bytes(out.read_bytes())
    elif damage == "odd":
        save_tensors(path, {**tensors, "later": torch.zeros(1)}, header)
    else:
        save_tensors(path, {**tensors, "0/images.left": torch.zeros(2)}, header)
    with pytest.raises(ArtefactError, match=r"set\.snapshots\.safetensors"):
        load_snapshots(path)


def test_a_killed_run_leaves_a_whole_file(source: str, out: Path) -> None:
    script = textwrap.dedent(f"""
        import sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import torch
        torch.set_num_threads(1)
        from attar import Callback, condense
        from test_condensing import OPTIONS
        class Slow(Callback):
            def stepped(self, step, loss, share, seconds):
                print(step, flush=True)
                time.sleep(0.02)
        options = OPTIONS | {{"iterations": 4000}}
        condense({source!r}, output={str(out)!r}, snapshots=2001, checkpoint_seconds=0,
                 callback=Slow(), **options)
    """)
    job = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert job.stdout is not None
    for printed in job.stdout:
        if int(printed) >= 7:
            break
    time.sleep(0.01)
    job.kill()
    job.wait()
    job.stdout.close()
    # whatever was being written, the file holds whole iterates up to some step
    found = kept(out)
    assert found == list(range(0, found[-1] + 1, 2)) and found[-1] >= 6
    options = OPTIONS | {"iterations": 4000, "resume": True}
    with pytest.raises(RunFailed):
        run(source, out, 2001, **options, callback=Stopping(found[-1] + 3))
    assert kept(out)[: len(found)] == found and len(kept(out)) > len(found)
    assert not list(out.parent.glob(".*.tmp"))
