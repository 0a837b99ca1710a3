import dataclasses
import gc
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import attar
from attar import Callback, Request, condense
from attar.condensing.engine import Run
from attar.condensing.log import Log, read_log
from attar.condensing.paths import Paths
from attar.condensing.plan import Plan
from attar.condensing.planning import make_plan
from attar.condensing.progress import describe_estimate
from attar.condensing.session import Session
from attar.condensing.telling import Estimate
from attar.condensing.validating import training_pair
from attar.data import LabelledImages
from attar.data.splits import Splits
from attar.errors import ArtefactError, BadRequest, RunFailed
from attar.tensors import read_header, read_tensors
from catalogue import tiny_data

pytestmark = pytest.mark.usefixtures("minding_ctrl_c")

OPTIONS: dict[str, Any] = {
    "method": "lodm",
    "ipc": 1,
    "iterations": 6,
    "network": "convnet2:width=8",
    "card": "dc-300",
    "settings": ("batch_real=5", "augment=flip_crop"),
    "validation": 0,
    "lr": 0.5,
    "device": "cpu",
    "precision": "float32",
    "torch_compile": "off",
}
SELECTING = {"validation": 0.25, "validations": 3}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three classes of 12 and a test part, as a file."""
    path = tmp_path_factory.mktemp("data") / "tiny.npz"
    train, test = tiny_data(counts=(12, 12, 12)), tiny_data(counts=(4, 4, 4), seed=1)
    np.savez(
        path,
        x_train=train.images[:, 0].numpy(),
        y_train=train.labels.numpy(),
        x_test=test.images[:, 0].numpy(),
        y_test=test.labels.numpy(),
    )
    return f"npz:{path}"


class Stopping(Callback):
    """Presses Ctrl-C after a step, once or more often."""

    def __init__(self, step: int, times: int = 1) -> None:
        self.step = step
        self.times = times

    def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
        if step == self.step:
            for _ in range(self.times):
                # handled before the next turn of the loop, so that two do not fall into one
                signal.raise_signal(signal.SIGINT)


class Counting(Callback):
    """Notes every call."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def started(self, plan: Plan, estimate: Estimate, step: int) -> None:
        self.calls.append(("started", plan, estimate, step))

    def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
        self.calls.append(("stepped", step, loss, share, seconds))

    def validated(self, step: int, accuracy: float) -> None:
        self.calls.append(("validated", step, accuracy))

    def finished(self, artefact: attar.Artefact) -> None:
        self.calls.append(("finished", artefact))


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the log without the times."""
    return [
        {name: value for name, value in row.items() if name != "seconds"}
        for row in read_log(Paths(path).log)
    ]


def stored(artefact: attar.Artefact) -> dict[str, Tensor]:
    return artefact.synthetic.state_dict()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def interrupted(source: str, out: Path, step: int, **options: Any) -> None:
    with pytest.raises(RunFailed, match=f"interrupted at step {step}; continue with --resume -o"):
        condense(source, output=out, callback=Stopping(step), **(OPTIONS | options))


# the result


def test_a_run_without_files_equals_one_with_files(source: str, out: Path) -> None:
    plain = condense(source, **OPTIONS)
    written = condense(source, output=out, **OPTIONS)
    assert same(stored(plain), stored(written)) and same(stored(written), stored(attar.load(out)))
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "set.end.safetensors",
        "set.log.jsonl",
        out.name,
    ]
    header = written.header
    assert (header.step, header.iterate, header.validation, header.seed) == (6, "last", None, 0)
    assert header.provenance["source"] == source
    assert [row["step"] for row in rows(out)] == [1, 2, 3, 4, 5, 6]


def test_seeds_lead_to_different_sets(source: str) -> None:
    first, second = (condense(source, **OPTIONS, seed=seed) for seed in (0, 1))
    assert not torch.equal(first.images, second.images)


@pytest.mark.parametrize("storage", ["float16", "bfloat16"])
def test_what_is_returned_is_what_is_stored(source: str, out: Path, storage: str) -> None:
    made = condense(source, output=out, storage=storage, **OPTIONS)
    assert torch.equal(made.images, attar.load(out).images)
    assert {tensor.dtype for tensor in read_tensors(out).values()} == {getattr(torch, storage)}


def test_no_iterations_gives_the_start(source: str, out: Path) -> None:
    options = OPTIONS | {"method": "random", "iterations": None, "lr": None, "settings": ()}
    made = condense(source, output=out, **options)
    assert made.header.step == 0 and rows(out) == []
    # real images, as they are
    data = attar.load_source(source).train
    everything = data.take(torch.arange(len(data)))
    for image, label in zip(made.images, made.labels, strict=True):
        (match,) = (everything == image).flatten(1).all(dim=1).nonzero().flatten().tolist()
        assert int(data.labels[match]) == int(label)
    noise = condense(source, **(OPTIONS | {"iterations": 0}))
    assert noise.header.step == 0 and not same(stored(noise), stored(condense(source, **OPTIONS)))


def test_minutes_stop_a_run(source: str, out: Path) -> None:
    callback = Counting()
    options = OPTIONS | {"iterations": None, "minutes": 2 / 60}
    made = condense(source, output=out, callback=callback, **options)
    steps = [call for call in callback.calls if call[0] == "stepped"]
    assert made.header.step == len(steps) >= 1
    assert steps[-1][3] == 1.0 and all(call[3] < 1.0 for call in steps[:-1])
    assert all(call[4] < 2.0 for call in steps[:-1])
    assert [call[3] for call in steps] == sorted(call[3] for call in steps)
    # no step is thrown away to tell what a later one takes, nor is the first one told as theirs
    (estimate,) = [call[2] for call in callback.calls if call[0] == "started"]
    assert estimate.first_seconds > 0 and estimate.step_seconds is None
    assert "a first step of" in (told := describe_estimate(estimate)) and "a step after" not in told


# what is told


def test_a_callback_is_told_everything_in_order(source: str) -> None:
    callback = Counting()
    made = condense(source, callback=callback, **(OPTIONS | SELECTING))
    kinds = [call[0] for call in callback.calls]
    pair = ["stepped", "stepped", "validated"]
    assert kinds == ["started", *pair, *pair, *pair, "finished"]
    _, plan, estimate, step = callback.calls[0]
    assert isinstance(plan, Plan) and step == 0
    assert estimate.first_seconds > 0 and estimate.memory > 1e6
    assert 0 < estimate.validating_seconds < estimate.total_seconds
    assert estimate.total_seconds > 6 * estimate.step_seconds + estimate.validating_seconds
    stepped = [call for call in callback.calls if call[0] == "stepped"]
    assert [call[1] for call in stepped] == [1, 2, 3, 4, 5, 6]
    assert [call[3] for call in stepped] == pytest.approx([n / 6 for n in range(1, 7)])
    assert [call[1] for call in callback.calls if call[0] == "validated"] == [2, 4, 6]
    assert callback.calls[-1][1] is made


def test_the_estimate_of_disk_covers_what_is_written(source: str, out: Path) -> None:
    callback = Counting()
    with pytest.raises(RunFailed):
        stop = Stopping(3)
        callback.stepped = stop.stepped  # type: ignore[method-assign]
        condense(source, output=out, callback=callback, **OPTIONS)
    estimate = callback.calls[0][2]
    payload = sum(
        t.numel() * t.element_size() for t in read_tensors(Paths(out).checkpoint).values()
    )
    assert payload <= estimate.disk <= 20 * payload


# interruption and continuation


@pytest.mark.parametrize("options", [{}, {"method": "dm"}, SELECTING], ids=str)
def test_an_interrupted_run_goes_on_bit_for_bit(
    source: str, out: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    options = OPTIONS | options
    whole = tmp_path / "whole" / out.name
    condense(source, output=whole, **options)
    interrupted(source, out, 3, **options)
    assert not out.exists() and Paths(out).checkpoint.exists()
    torch.manual_seed(77)
    torch.rand(9)
    with pytest.raises(RunFailed, match="interrupted at step 5"):
        condense(source, output=out, resume=True, callback=Stopping(5), **options)
    condense(source, output=out, resume=True, **options)
    assert out.read_bytes() == whole.read_bytes()
    assert rows(out) == rows(whole)
    assert not Paths(out).checkpoint.exists()
    assert Paths(out).last.exists() == Paths(whole).last.exists()


def test_ctrl_c_is_given_back_afterwards(source: str, out: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    interrupted(source, out, 2)
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        condense(source, output=out, overwrite=True, callback=Stopping(2, times=2), **OPTIONS)
    assert signal.getsignal(signal.SIGINT) is before
    condense(source, **OPTIONS)
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_stays_ignored_where_it_was(source: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert condense(source, callback=Stopping(2, times=2), **OPTIONS).header.step == 6


def test_ctrl_c_after_the_last_step_changes_nothing(source: str, out: Path) -> None:
    made = condense(source, output=out, callback=Stopping(6), **OPTIONS)
    assert made.header.step == 6 and out.exists()


def test_an_interrupted_run_without_files_says_so(source: str) -> None:
    with pytest.raises(RunFailed) as failure:
        condense(source, callback=Stopping(2), **OPTIONS)
    assert str(failure.value) == "interrupted at step 2."


def test_a_run_outside_the_main_thread(source: str) -> None:
    made: list[attar.Artefact] = []
    thread = threading.Thread(target=lambda: made.append(condense(source, **OPTIONS)))
    thread.start()
    thread.join()
    assert same(stored(made[0]), stored(condense(source, **OPTIONS)))


def test_resuming_where_nothing_is_begins(source: str, out: Path) -> None:
    made = condense(source, output=out, resume=True, **OPTIONS)
    assert same(stored(made), stored(condense(source, **OPTIONS)))


def test_a_complete_run_is_not_done_again(
    source: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = condense(source, output=out, **OPTIONS)
    before = out.read_bytes()
    monkeypatch.setattr(Run, "advance", lambda run: pytest.fail("a step was done"))
    again = condense(source, output=out, resume=True, **OPTIONS)
    assert same(stored(made), stored(again)) and out.read_bytes() == before


def test_a_diverged_run_keeps_its_checkpoint_and_log(
    source: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = Run.advance

    def diverging(run: Run) -> float:
        if run.step == 4:
            raise run._diverged(float("nan"))
        return advance(run)

    monkeypatch.setattr(Run, "advance", diverging)
    with pytest.raises(RunFailed, match="diverged at step 4"):
        condense(source, output=out, checkpoint_seconds=0, **OPTIONS)
    assert read_header(Paths(out).checkpoint)["rest"]["step"] == 4
    assert [row["step"] for row in rows(out)] == [1, 2, 3, 4]
    monkeypatch.setattr(Run, "advance", advance)
    made = condense(source, output=out, resume=True, **OPTIONS)
    assert same(stored(made), stored(condense(source, **OPTIONS)))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no list of open files")
def test_a_failed_run_lets_go_of_its_log(source: str, out: Path) -> None:
    with pytest.raises(RunFailed) as failure:
        condense(source, output=out, checkpoint_seconds=1e9, callback=Stopping(3), **OPTIONS)
    held = [
        link
        for link in Path("/proc/self/fd").iterdir()
        if link.exists() and link.resolve() == Paths(out).log
    ]
    assert not held and len(rows(out)) == 3
    del failure
    gc.collect()


# refusals


def test_earlier_work_is_not_written_over(source: str, out: Path) -> None:
    interrupted(source, out, 2)
    with pytest.raises(BadRequest, match="an unfinished run is already there; --resume"):
        condense(source, output=out, **OPTIONS)
    condense(source, output=out, overwrite=True, **OPTIONS)
    assert not Paths(out).checkpoint.exists()
    before = out.read_bytes()
    with pytest.raises(BadRequest, match="an artefact is already there"):
        condense(source, output=out, **(OPTIONS | {"seed": 1}))
    assert out.read_bytes() == before
    condense(source, output=out, overwrite=True, **(OPTIONS | {"seed": 1}))
    assert out.read_bytes() != before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, ["another seed", "0 there, 1 asked for"]),
        ({"lr": 0.25}, ["another optimisers", "'lr': 0.5", "'lr': 0.25"]),
        ({"method": "dm"}, ["another method"]),
        ({"rank": 1}, ["another parametrization"]),
        ({"network": "convnet1:width=8"}, ["another network"]),
        (
            {"settings": ("batch_real=4", "augment=flip_crop")},
            ["another objective", "'batch_real': 5"],
        ),
        ({"precision": "bfloat16"}, ["another compute"]),
        ({"init": "real"}, ["another init"]),
        ({"ipc": 2}, ["another images_per_class"]),
        ({"validation": 0.25}, ["held_out"]),
    ],
    ids=lambda value: next(iter(value), ""),
)
def test_resuming_with_other_settings_is_refused_by_name(
    source: str, out: Path, change: dict[str, Any], named: list[str]
) -> None:
    interrupted(source, out, 2)
    before = Paths(out).checkpoint.read_bytes()
    with pytest.raises(BadRequest) as refusal:
        condense(source, output=out, resume=True, **(OPTIONS | change))
    for text in ["--resume", "--overwrite", *named]:
        assert text in str(refusal.value)
    assert Paths(out).checkpoint.read_bytes() == before and len(rows(out)) == 2


def test_resuming_on_other_data_is_refused(source: str, out: Path) -> None:
    interrupted(source, out, 2)
    other = tiny_data(counts=(12, 12, 12), seed=3)
    with pytest.raises(BadRequest, match="another data"):
        condense(other, output=out, resume=True, **OPTIONS)


def test_a_damaged_checkpoint_is_refused(source: str, out: Path) -> None:
    interrupted(source, out, 2)
    path = Paths(out).checkpoint
    whole = path.read_bytes()
    for damaged in (whole[:-10], whole[:100], b"", b"no checkpoint at all"):
        path.write_bytes(damaged)
        with pytest.raises(ArtefactError, match="--overwrite starts again"):
            condense(source, output=out, resume=True, **OPTIONS)
    made = condense(source, output=out.with_stem("other"), **OPTIONS)
    made.save(path)
    with pytest.raises(ArtefactError, match="version reads; --overwrite starts again"):
        condense(source, output=out, resume=True, **OPTIONS)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"iteration": 5}, "unknown option 'iteration' (did you mean 'iterations'"),
        ({"method": "lodn"}, "unknown method 'lodn' (did you mean 'lodm'"),
        ({"output": Path("set.pt")}, "must end in .safetensors"),
        ({"resume": True}, "--resume needs -o"),
        ({"minutes": 1.0, "iterations": 3}, "--iterations or --minutes, not both"),
        ({"iterations": -1}, "--iterations -1"),
        ({"validation": 0.6}, "--validation 0.6"),
        ({"settings": ("batch_reel=4",)}, "(did you mean 'batch_real'"),
        ({"settings": ("batch_real=four",)}, "--set batch_real=four: a whole number is needed"),
        ({"lr": -1.0}, "--lr -1"),
        ({"rank": 9}, "--rank 9: images of 8×8 have ranks 1 to 8"),
        ({"ipc": 100}, "larger than the 36 training images"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(
    source: str, options: dict[str, Any], said: str
) -> None:
    callback = Counting()
    with pytest.raises(BadRequest) as refusal:
        condense(source, callback=callback, **(OPTIONS | options))
    assert said in str(refusal.value) and not callback.calls


# selection


class Untouchable(LabelledImages):
    """A test set that must not be looked at."""

    def take(self, index: Tensor) -> Tensor:
        pytest.fail("the test images were read")


def session(
    accuracies: list[float],
    monkeypatch: pytest.MonkeyPatch,
    out: Path | None = None,
    **options: Any,
) -> tuple[Session, list[dict[str, Tensor]]]:
    """Return a session whose validations have these outcomes, and the iterates validated."""
    data = tiny_data(counts=(12, 12, 12))
    request = Request(**(OPTIONS | SELECTING | options), output=out)  # type: ignore[arg-type]
    one = Session(make_plan(request, Splits(data, data)), Paths(out) if out else None, Callback())
    iterates: list[dict[str, Tensor]] = []
    left = iter(accuracies)

    def accuracy(self: Session) -> float:
        iterates.append({k: v.clone() for k, v in self.run.synthetic.state_dict().items()})
        return next(left)

    monkeypatch.setattr(Session, "_validation_accuracy", accuracy)
    return one, iterates


@pytest.mark.parametrize(
    ("accuracies", "best"), [([50.0, 80.0, 60.0], 1), ([70.0, 70.0, 70.0], 0), ([0.0, 0, 0], 0)]
)
def test_the_best_iterate_is_selected_and_the_last_kept_apart(
    accuracies: list[float], best: int, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, iterates = session(accuracies, monkeypatch, out)
    made = one.complete()
    assert len(iterates) == 3 and same(stored(made), iterates[best])
    assert same(stored(attar.load(out)), iterates[best])
    header = made.header
    assert (header.iterate, header.step, header.validation) == (
        "selected",
        2 * best + 2,
        accuracies[best],
    )
    last = attar.load(Paths(out).last)
    assert same(stored(last), iterates[-1])
    assert (last.header.iterate, last.header.step) == ("last", 6)
    assert last.header.validation == accuracies[-1]
    logged = [row for row in rows(out) if "validation" in row]
    assert logged == [
        {"step": 2 * n + 2, "validation": accuracy} for n, accuracy in enumerate(accuracies)
    ]


def test_the_last_iterate_stands_alone_where_it_is_the_best(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, iterates = session([10.0, 20.0, 30.0], monkeypatch, out)
    made = one.complete()
    assert same(stored(made), iterates[-1]) and not Paths(out).last.exists()
    assert (made.header.iterate, made.header.step, made.header.validation) == ("last", 6, 30.0)


def test_a_stale_last_iterate_does_not_outlive_an_overwrite(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session([50.0, 80.0, 60.0], monkeypatch, out)[0].complete()
    assert Paths(out).last.exists()
    session([10.0, 20.0, 30.0], monkeypatch, out, overwrite=True)[0].complete()
    assert not Paths(out).last.exists()


@pytest.mark.parametrize(("iterations", "validations"), [(6, 1), (7, 3), (2, 5), (0, 2), (5, 5)])
def test_validations_are_evenly_spread_and_end_with_the_run(
    iterations: int, validations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, iterates = session([1.0] * 9, monkeypatch, iterations=iterations, validations=validations)
    callback = Counting()
    one.callback = callback
    one.complete()
    steps = [call[1] for call in callback.calls if call[0] == "validated"]
    due = {-(-iterations * n // validations) for n in range(1, validations + 1)}
    assert steps == sorted(due) and steps[-1] == iterations and len(iterates) == len(steps)


def test_selection_uses_held_out_training_images_and_never_the_test_set() -> None:
    train = tiny_data(counts=(12, 12, 12))
    test = Untouchable(
        **{item.name: getattr(train, item.name) for item in dataclasses.fields(train)}
    )
    request = Request(**(OPTIONS | SELECTING))
    one = Session(make_plan(request, Splits(train, test)), None, Callback())
    kept, held = one.plan.train, one.plan.held_out
    assert held is not None and len(kept) == 27 and len(held) == 9
    assert torch.bincount(held.labels).tolist() == [3, 3, 3]

    def images(data: LabelledImages) -> set[bytes]:
        return {image.numpy().tobytes() for image in data.images}

    assert not images(kept) & images(held)
    assert images(kept) | images(held) == images(train)
    taken: list[LabelledImages] = []
    take = LabelledImages.take

    def watched(self: LabelledImages, index: Tensor) -> Tensor:
        taken.append(self)
        return take(self, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LabelledImages, "take", watched)
        made = one.complete()
    assert made.header.validation is not None
    assert {id(data) for data in taken} == {id(kept), id(held)}


def test_what_is_held_out_follows_the_seed_and_the_size_of_the_classes() -> None:
    big, small = tiny_data(counts=(20, 21, 22)), tiny_data(counts=(20, 19, 22))

    def plan(data: LabelledImages, **options: Any) -> Plan:
        given = {**OPTIONS, "validation": None, **options}
        return make_plan(Request(**given), Splits(data, data))

    held = plan(big).held_out
    assert held is not None and torch.bincount(held.labels).tolist() == [2, 2, 2]
    assert plan(small).held_out is None and plan(big, validation=0).held_out is None
    assert plan(big, method="random", lr=None, settings=(), iterations=0).held_out is None
    again, other = plan(big).held_out, plan(big, seed=1).held_out
    assert again is not None and torch.equal(held.images, again.images)
    assert other is not None and not torch.equal(held.images, other.images)


def test_validation_does_not_change_the_iterates(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = session([1.0, 2.0, 3.0], monkeypatch)[0].complete()
    monkeypatch.undo()
    data = tiny_data(counts=(12, 12, 12))
    for validations in (1, 6):
        request = Request(**(OPTIONS | SELECTING | {"validations": validations}))
        one = Session(make_plan(request, Splits(data, data)), None, Callback())
        one.complete()
        assert same(one.run.synthetic.state_dict(), stored(plain))


def test_a_training_pair_is_what_the_artefact_gives(source: str) -> None:
    made = condense(source, **OPTIONS)
    images, labels = training_pair(made.synthetic)
    assert torch.equal(images, made.images) and torch.equal(labels, made.labels)
    assert labels.tolist() == sorted(labels.tolist()) and not images.requires_grad


# other processes, and their death

CHILD = textwrap.dedent(
    """
    import json, os, signal, sys, time
    from pathlib import Path
    import torch
    import torch._dynamo  # imported once here, not in every child
    import attar
    from attar import files
    from attar.condensing import checkpoint, engine, session

    torch.set_num_threads(1)
    source, folder, options = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    log = folder / "killed" / "set.log.jsonl"

    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    def run(name, resume=True):
        attar.condense(source, output=folder / name / "set.safetensors", resume=resume,
                       checkpoint_seconds=0, **options)

    def in_a_step():
        engine.Run._pull_back = die

    def after_some_steps(count):
        def patch():
            advance, done = engine.Run.advance, []
            def counted(run):
                done.append(advance(run))
                return die() if len(done) == count else done[-1]
            engine.Run.advance = counted
        return patch

    def while_a_file_is_written():
        save = checkpoint.save_tensors
        def half(path, tensors, header):
            def cut(temporary):
                temporary.write_bytes(b"half a file")
                die()
            files.write_atomically(path, cut)
        calls = []
        def later(path, tensors, header):
            calls.append(path)
            return half(path, tensors, header) if len(calls) == 3 else save(path, tensors, header)
        checkpoint.save_tensors = later

    def after_the_log_was_opened():
        session.Session._estimate = die

    def before_the_checkpoint_is_removed():
        unlink = Path.unlink
        def checked(path, **options):
            if path.name == "set.checkpoint.safetensors":
                die()
            unlink(path, **options)
        Path.unlink = checked

    def forked(patch, wait=None):
        child = os.fork()
        if child == 0:
            patch()
            run("killed")
            os._exit(0)
        if wait is not None:
            wait()
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status

    def slowly():
        advance = engine.Run.advance
        engine.Run.advance = lambda run: (time.sleep(0.03), advance(run))[1]

    def until_a_few_lines():
        while log.read_text().count("\\n") < 8:
            time.sleep(0.003)

    forked(after_some_steps(3))
    forked(in_a_step)
    forked(slowly, until_a_few_lines)
    forked(after_the_log_was_opened)
    forked(while_a_file_is_written)
    forked(before_the_checkpoint_is_removed)
    assert (folder / "killed" / "set.safetensors").exists()
    run("killed")
    run("whole", resume=False)
    """
)


def test_a_run_killed_at_many_moments_equals_one_in_another_process(
    source: str, tmp_path: Path
) -> None:
    options = OPTIONS | {"iterations": 40}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, source, str(tmp_path), json.dumps(options)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    here = tmp_path / "here" / "set.safetensors"
    condense(source, output=here, **options)
    for name in ("whole", "killed"):
        there = tmp_path / name / "set.safetensors"
        assert there.read_bytes() == here.read_bytes(), name
        assert rows(there) == rows(here), name
    left = {path.name for path in (tmp_path / "whole").iterdir()}
    assert left == {"set.safetensors", "set.log.jsonl", "set.end.safetensors"}


def test_a_resumed_run_killed_at_once_keeps_its_log(source: str, out: Path) -> None:
    """What the log holds on disk when a resumed run has only begun."""
    interrupted(source, out, 3)
    before = rows(out)
    seen: list[list[dict[str, Any]]] = []

    class Looking(Callback):
        def started(self, plan: Plan, estimate: Estimate, step: int) -> None:
            seen.append(rows(out))

    condense(source, output=out, resume=True, callback=Looking(), **OPTIONS)
    assert len(before) == 3 and seen == [before]


@pytest.mark.parametrize("change", [{"seed": 1}, {"iterations": 5}], ids=str)
def test_resuming_a_complete_run_with_other_settings_is_refused(
    source: str, out: Path, change: dict[str, Any]
) -> None:
    condense(source, output=out, **OPTIONS)
    with pytest.raises(BadRequest, match=next(iter(change))):
        condense(source, output=out, resume=True, **(OPTIONS | change))


def test_checkpoints_follow_the_clock(
    source: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    monkeypatch.setattr(Session, "_checkpoint", lambda self: saved.append(self.run.step))
    condense(source, output=out, checkpoint_seconds=1e6, **OPTIONS)
    assert saved == []
    begin = time.perf_counter()
    condense(source, output=out, overwrite=True, checkpoint_seconds=0, **OPTIONS)
    assert saved == [1, 2, 3, 4, 5, 6] and time.perf_counter() > begin


def test_fewer_iterations_than_are_done_are_refused(source: str, out: Path) -> None:
    with pytest.raises(RunFailed):
        condense(source, output=out, checkpoint_seconds=0, callback=Stopping(3), **OPTIONS)
    step = read_header(Paths(out).checkpoint)["rest"]["step"]
    with pytest.raises(BadRequest, match=f"the checkpoint is at step {step} already"):
        condense(source, output=out, resume=True, **(OPTIONS | {"iterations": step - 1}))


def test_a_complete_run_is_not_taken_for_one_of_another_storage(source: str, out: Path) -> None:
    condense(source, output=out, **OPTIONS)
    with pytest.raises(BadRequest, match=r"another .*storage"):
        condense(source, output=out, resume=True, storage="float16", **OPTIONS)


def test_a_log_that_cannot_be_closed_does_not_cost_the_artefact(
    source: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = Log.close

    def fail(log: Log) -> None:
        close(log)
        raise RunFailed("could not write the log")

    monkeypatch.setattr(Log, "close", fail)
    with pytest.raises(RunFailed, match="could not write the log"):
        condense(source, output=out, **OPTIONS)
    assert attar.load(out).header.step == OPTIONS["iterations"]
