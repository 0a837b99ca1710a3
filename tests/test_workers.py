"""Classes shared out over workers: the same result bit for bit, refusals, workers that are lost."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import attar
from attar.cli import run as cli
from attar.condensing.divided import Divided
from attar.condensing.plan import Plan
from attar.condensing.planning import make_plan
from attar.condensing.request import Request
from attar.condensing.shares import Share, shares_of
from attar.condensing.worker import Hand, order_of
from attar.data import Splits
from attar.errors import BadRequest, RunFailed
from attar.tensors import flatten
from catalogue import SMALL, tiny_data, worker_processes

DATA = tiny_data(counts=(12, 15, 9, 11, 13))
ASKED: dict[str, Any] = {
    **SMALL,
    "method": "dm",
    "iterations": 6,
    "settings": {"batch_real": 7},
}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def planned(data: Any = DATA, **options: Any) -> Plan:
    return make_plan(Request(**{**ASKED, **options}), Splits(data, data))


class Here:
    """Workers in this process, which are asked as those in others are."""

    def __init__(self, plan: Plan, count: int) -> None:
        self.shares: Sequence[Share] = shares_of(plan, count)
        order = order_of(plan)
        self._hands = [Hand(order, plan.train, share.labels) for share in self.shares]

    def ask(self, what: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        return [getattr(hand, what)(*own) for hand, own in zip(self._hands, arguments, strict=True)]


def stepped(run: Any, steps: int) -> dict[str, torch.Tensor]:
    for _ in range(steps):
        run.share = run.step / 6
        run.advance()
    return flatten(run.state_dict())[0]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunk": 3},
        {"chunk": 1, "ipc": 6},
        {"method": "lodm", "ipc": 1},
        {"method": "fastdm", "settings": {"batch_real": 7, "pool": 2, "refresh": 3}},
        {"settings": {"batch_real": 4, "batch": 2}, "ipc": None, "synthetic_per_class": 5},
        {"form": "resized:side=4"},
        {"form": "tiled:factor=2", "ipc": 1},
        {"form": "frequency:keep=0.5,chosen=image"},
        {"optimiser": "adam", "lr": 0.01, "average": 0.9},
        {"schedule": "cosine", "bounded": True},
        {"per_class_budget": "proportional", "ipc": 3},
        {"objective": "distribution:batch_real=7+0.5*distribution:batch_real=3"},
        {"network": "mlp:width=16"},
    ],
    ids=str,
)
def test_workers_come_to_what_one_process_does(options: dict[str, Any]) -> None:
    plan = planned(**options)
    alone = plan.run()
    for count in (2, 3):
        crew = Here(plan, count)
        shared = Divided(plan.run(), crew)
        shared.probe()
        found = stepped(shared, 3)
        if count == 2:
            wanted = stepped(alone, 3)
        assert same(found, wanted)
        assert torch.tensor(shared.advance()).isfinite()
    # goes on with another number of workers, and alone
    wanted = stepped(alone, 3)
    tree = {**alone.state_dict()}
    again = Divided(plan.run(), Here(plan, 3))
    half = plan.run()
    stepped(half, 3)
    again.load_state_dict(half.state_dict())
    assert same(stepped(again, 3), flatten(tree)[0]) and same(wanted, flatten(tree)[0])


def test_rows_of_odd_length_are_shared_out_where_their_ends_do_not_matter() -> None:
    # 49 values: 32 classes of one image, or 16 of two, are a multiple of 32
    data = tiny_data(counts=(6,) * 40, size=7)
    plan = planned(data, ipc=1, network="convnet1:width=4", settings={"batch_real": 3})
    assert [share.labels for share in shares_of(plan, 2)] == [range(32), range(32, 40)]
    # else every worker holds the set
    few = planned(tiny_data(counts=(6,) * 3, size=7), ipc=1, network="convnet1:width=4")
    for other, count in ((plan, 3), (few, 2)):
        assert [share.labels for share in shares_of(other, count)] == [None] * count
    pooled = planned(data, method="fastdm", ipc=1, network="convnet1:width=4", settings={})
    with pytest.raises(BadRequest, match=r"--workers 3: images of 49 values .* by 2 workers"):
        shares_of(pooled, 3)
    assert same(stepped(Divided(plan.run(), Here(plan, 2)), 2), stepped(plan.run(), 2))


def test_work_is_shared_out_evenly() -> None:
    data = tiny_data(counts=(90, 10, 10, 10, 30, 30))
    plan = planned(data, settings={"batch_real": 100})
    assert [share.labels for share in shares_of(plan, 2)] == [range(2), range(2, 6)]
    first, second, third = shares_of(planned(), 3)
    assert str(first) == "worker 1 of 3 (classes 0 to 1)"
    assert (second.labels, third.labels) == (range(2, 3), range(3, 5))


@pytest.mark.parametrize(
    ("count", "options", "said"),
    [
        (6, {}, "--workers 6: the set has 5 classes, .* ask for 5 or fewer"),
        (
            2,
            {"method": "ld", "settings": {"learner": "rr"}},
            "'labels' needs all classes .* dm, lodm.* dc, dsa",
        ),
        (2, {"method": "random", "iterations": None, "settings": ()}, "'random' makes no updates"),
        (2, {"network": "convnet2:width=8,norm=batch"}, "batch normalization lets the images"),
    ],
    ids=str,
)
def test_what_cannot_be_shared_out_is_refused(
    count: int, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadRequest, match=f"--workers {count}: .*"):
        shares_of(planned(**options), count)
    with pytest.raises(BadRequest, match=said):
        shares_of(planned(**options), count)


def test_numbers_below_one_are_refused() -> None:
    with pytest.raises(BadRequest, match="--workers 0: at least 1"):
        Request(workers=0)


def test_explain_refuses_first(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--method", "ld", "--set", "learner=rr", "--workers", "2", "--explain"]
    assert cli(["condense", "digits", *asked]) == 2
    assert "--workers 2: a step of the objective 'labels'" in capsys.readouterr().err


# in processes of their own


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "tiny.npz"
    test = tiny_data(counts=(4,) * 5, seed=1)
    np.savez(
        path,
        x_train=DATA.images[:, 0].numpy(),
        y_train=DATA.labels.numpy(),
        x_test=test.images[:, 0].numpy(),
        y_test=test.labels.numpy(),
    )
    return f"npz:{path}"


class Killing(attar.Callback):
    """Kills the second worker after some steps."""

    def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
        if step == 4:
            lost = worker_processes()[1]
            os.kill(lost, signal.SIGKILL)
            # so that it is gone before it is asked again
            os.waitid(os.P_PID, lost, os.WEXITED | os.WNOWAIT)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_a_lost_worker_is_named_and_another_number_goes_on(source: str, tmp_path: Path) -> None:
    options = {**ASKED, "validation": 0.2, "validations": 2, "snapshots": 2}
    outputs = [tmp_path / name / "set.safetensors" for name in ("alone", "shared")]
    for output in outputs:
        output.parent.mkdir()
    attar.condense(source, output=outputs[0], **options)
    with pytest.raises(RunFailed) as raised:
        attar.condense(source, output=outputs[1], workers=2, callback=Killing(), **options)
    assert "worker 2 of 2 (classes 2 to 4) was lost: its process was ended by SIGKILL" in str(
        raised.value
    )
    assert "set.checkpoint.safetensors is kept; resume goes on, with any number of" in str(
        raised.value
    ).replace("--", "")
    assert not outputs[1].exists() and not worker_processes()
    attar.condense(source, output=outputs[1], workers=3, resume=True, **options)
    files = [{p.name: p for p in out.parent.iterdir() if p.suffix != ".lock"} for out in outputs]
    assert files[0].keys() == files[1].keys()
    for name in ("set.safetensors", "set.snapshots.safetensors"):
        assert files[0][name].read_bytes() == files[1][name].read_bytes()


def test_parts_that_other_processes_cannot_import_are_refused(source: str) -> None:
    def network() -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 5))

    with pytest.raises(BadRequest, match="other processes do not find a part of this run"):
        attar.condense(source, workers=2, **{**ASKED, "network": network})
