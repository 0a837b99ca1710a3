"""Steps that workers share by an exchange of sums: equal to one process, bit for bit or nearly."""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import attar
from attar.condensing.plan import Plan
from attar.condensing.planning import make_plan
from attar.condensing.replicated import Replicated
from attar.condensing.request import Request
from attar.condensing.shares import shares_of
from attar.condensing.worker import Hand, order_of
from attar.data import Splits
from attar.errors import BadRequest, RunFailed
from attar.parallel.peers import met
from attar.tensors import flatten
from catalogue import SMALL, tiny_data, worker_processes

DATA = tiny_data(counts=(12, 15, 9, 11, 13))
ASKED: dict[str, Any] = {
    **SMALL,
    "iterations": 6,
}


def planned(**options: Any) -> Plan:
    return make_plan(Request(**{**ASKED, **options}), Splits(DATA, DATA))


FOLLOWING = ("mtt", "tesla", "esp", "haba")


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two experts of the network that the set is matched in."""
    found = tmp_path_factory.mktemp("experts") / "e"
    options = {"network": SMALL["network"], "torch_compile": "off"}
    attar.train_experts(DATA, output=found, count=2, epochs=3, batch=16, **options)
    return found


class Sums:
    """What peers in threads of this process add up."""

    def __init__(self, count: int) -> None:
        self.parts: list[Sequence[Tensor]] = [()] * count
        self.barrier = threading.Barrier(count, timeout=300)
        # one works at a time: networks are drawn by the one generator of a process
        self.turn = threading.Lock()


class Peer:
    def __init__(self, number: int, sums: Sums) -> None:
        self.number, self.count, self._sums = number, len(sums.parts), sums

    def added(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        self._sums.parts[self.number] = tensors
        self._sums.turn.release()
        self._sums.barrier.wait()
        found = [sum(each) for each in zip(*self._sums.parts, strict=True)]
        self._sums.barrier.wait()
        self._sums.turn.acquire()
        return found  # pyright: ignore[reportReturnType]


class Together:
    """Workers in threads of this process."""

    inside = False

    def __init__(self, plan: Plan, count: int) -> None:
        self.shares, order, sums = shares_of(plan, count), order_of(plan), Sums(count)
        self._turn = sums.turn
        self._pool = ThreadPoolExecutor(count)
        self._hands = [Hand(order, plan.train, None, Peer(n, sums)) for n in range(count)]

    def ask(self, what: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        asked = [
            self._pool.submit(self._in_turn, getattr(hand, what), given)
            for hand, given in zip(self._hands, arguments, strict=True)
        ]
        return [one.result() for one in asked]

    def _in_turn(self, function: Callable[..., Any], given: tuple[Any, ...]) -> Any:
        with self._turn:
            return function(*given)


def stepped(run: Any, steps: int) -> dict[str, Tensor]:
    for _ in range(steps):
        run.share = run.step / 6
        run.advance()
    return flatten(run.state_dict())[0]


DC = {"method": "dsa", "settings": {"batch_real": 7, "outer": 2}}
FREPO = {"method": "frepo", "settings": {"batch_real": 21, "pool": 2}}
IDC = {"method": "idc", "settings": {"batch_real": 7, "inner": 2, "samples": 16}}
MTT = {"method": "mtt", "settings": {"steps": 3, "batch": 7, "expert_epochs": 1, "max_start": 1}}
TESLA = {**MTT, "method": "tesla", "settings": {**MTT["settings"], "lr_per_step": True}}
ESP = {"method": "esp", "settings": {"batch_real": 7, "length": 2, "steps": 2}}
HABA = {"method": "haba", "settings": {**MTT["settings"], "held": 2}}
RTP = {"method": "remember-the-past", "settings": {"steps": 3, "batch": 2, "batch_real": 7}}
DD = {"method": "dd", "settings": {"steps": 2, "rounds": 2, "batch_real": 21}}
LD = {"method": "ld", "settings": {"learner": "or2", "batch": 7, "batch_real": 21}}
CHECKED = {"batch_real": 7, "batch_check": 6, "inner": 2}
CAFE = {"method": "cafe-dsa", "settings": CHECKED}
SMOOTH = "convnet1:width=8,norm=none,pooling=none"
KIP = {"method": "kip-labels", "network": SMOOTH, "settings": {"batch_real": 21}}
RFAD = {"method": "rfad", "network": SMOOTH, "settings": {"batch_real": 21, "networks": 2}}
SRE2L = {
    "method": "sre2l",
    "network": "convnet2:width=8,norm=batch",
    "settings": {"carry": 0.8, "by_class": 0.5, "flatness": 1.0, "squeeze_epochs": 1},
}
KFS = {"method": "kfs", "network": "convnet3:width=8", "settings": {"batch_real": 7}}


@pytest.mark.parametrize(
    ("options", "count", "rounding"),
    [
        (DC, 2, 0.0),
        ({**DC, "method": "lodc", "ipc": 1, "average": 0.9}, 3, 0.0),
        (KFS, 2, 0.0),
        ({"method": "dm", "optimiser": "lamb", "lr": 0.01, "settings": {"batch_real": 7}}, 2, 0.0),
        ({"method": "dm", "storage": "int4:train=0.5", "settings": {"batch_real": 7}}, 2, 0.0),
        (IDC, 2, 1e-5),
        (FREPO, 3, 1e-5),
        ({**FREPO, "settings": {"batch_real": 21, "pool": 2, "uses": 2}}, 2, 1e-5),
        (MTT, 3, 1e-5),
        (TESLA, 2, 1e-5),
        (ESP, 2, 1e-5),
        (HABA, 2, 1e-5),
        (RTP, 2, 1e-5),
        (DD, 2, 1e-5),
        (LD, 2, 1e-5),
        ({**FREPO, "method": "slimmable"}, 2, 1e-5),
        (CAFE, 3, 1e-5),
        (
            {**CAFE, "method": "cafe", "settings": {**CAFE["settings"], "discrimination": 0}},
            2,
            1e-5,
        ),
        (KIP, 3, 1e-5),
        (RFAD, 2, 1e-5),
        (SRE2L, 2, 0.0),
    ],
    ids=str,
)
def test_peers_come_to_what_one_process_does(
    options: dict[str, Any], count: int, rounding: float, experts: Path
) -> None:
    if options["method"] in FOLLOWING:
        options = {**options, "experts": experts}
    plan = planned(**options)
    alone = plan.run()
    shared = Replicated(plan.run(), Together(plan, count))
    shared.probe()
    wanted, found = stepped(alone, 3), stepped(shared, 3)
    assert wanted.keys() == found.keys()
    if not rounding:
        assert all(found[name].equal(one) for name, one in wanted.items())
    for name, one in wanted.items():
        # biases before a norm get a gradient that is rounding alone, which Adam makes large
        if name.startswith(("synthetic", "learned")):
            assert (found[name] - one).abs().max() <= rounding * one.abs().max(), name


def test_what_lies_otherwise_in_memory_is_added_by_its_indices(tmp_path: Path) -> None:
    group = met(tmp_path / "meeting", 0, 1, 60)
    try:
        plain = torch.arange(24.0).reshape(1, 2, 3, 4)
        given = [
            plain.contiguous(memory_format=torch.channels_last),
            torch.arange(3),
            plain[0, 0].T,
        ]
        found = group.added(given)
        assert all(one.equal(other) for one, other in zip(found, given, strict=True))
        assert all(one.is_contiguous() for one in found)
    finally:
        torch.distributed.destroy_process_group()


def test_a_step_of_fewer_parts_than_workers_is_refused() -> None:
    with pytest.raises(
        BadRequest, match=r"--workers 6: .* 'gradient' falls into 5 parts here.* ask"
    ):
        shares_of(planned(**DC), 6)
    assert len(shares_of(planned(**FREPO), 6)) == 6
    # as --explain says it, which asks no cluster
    with pytest.raises(BadRequest, match=r"--ray auto: .* needs an exchange in every step"):
        shares_of(planned(**DC, workers=2, ray="auto"), 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {**MTT, "settings": {**MTT["settings"], "unroll": "kept"}},
            "--workers 8: unroll 'kept' .* workers cannot share; take unroll 'checkpointed'",
        ),
        (
            {**MTT, "network": "convnet2:width=8,norm=batch"},
            "--workers 8: in convnet2.* batch normalization .* workers cannot share it",
        ),
        (MTT, "--workers 8: .* 'trajectory' falls into 7 parts here"),
        (ESP, "--workers 8: .* 'subspace' falls into 5 parts here"),
        ({**LD, "settings": {"learner": "rr"}}, "--workers 8: .* 'labels' needs all classes"),
        ({**SRE2L, "ipc": 1}, "--workers 8: .* 'statistics' needs all classes"),
        ({**CAFE, "network": "convnet2:width=8,norm=batch"}, "--workers 8: in convnet2.* cannot"),
    ],
    ids=str,
)
def test_what_keeps_a_step_together_is_refused_by_name(options: dict[str, Any], said: str) -> None:
    plan = make_plan(Request(**{**ASKED, **options}), Splits(DATA, DATA), experts_later=True)
    with pytest.raises(BadRequest, match=said):
        shares_of(plan, 8)


FAULTY = """
from dataclasses import dataclass
from attar.errors import RunFailed
from attar.objectives import GradientMatching

@dataclass(frozen=True)
class Faulty(GradientMatching):
    name = "faulty"

    def match(self, images, labels, problem, *more, **others):
        if problem.peers.number == 1:
            raise RunFailed("out of memory on this one.")
        return super().match(images, labels, problem, *more, **others)
"""


@pytest.mark.slow
def test_what_fails_in_one_worker_is_told_without_waiting_for_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "faulty.py").write_text(FAULTY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("ATTAR_RANK_SECONDS", "3000")
    faulty = __import__("faulty").Faulty(batch_real=7)
    began = time.monotonic()
    with pytest.raises(RunFailed, match=r"^out of memory on this one\.$"):
        attar.condense(
            Splits(DATA, DATA), workers=2, **{**ASKED, "method": "dc", "objective": faulty}
        )
    assert time.monotonic() - began < 2000


class Killing(attar.Callback):
    """Kills the second worker after some steps."""

    def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
        if step == 2:
            os.kill(worker_processes()[1], signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_a_worker_that_is_lost_in_an_exchange_is_named(tmp_path: Path) -> None:
    output = tmp_path / "set.safetensors"
    options: dict[str, Any] = {**ASKED, **DC, "output": output}
    # not by those that wait for it
    with pytest.raises(RunFailed, match=r"worker 2 of 3 \(a part of every step\) was lost: "):
        attar.condense(Splits(DATA, DATA), workers=3, callback=Killing(), **options)
    found = attar.condense(Splits(DATA, DATA), workers=2, resume=True, **options)
    wanted = attar.condense(Splits(DATA, DATA), **{**options, "output": None})
    assert found.images.equal(wanted.images)


def _added(number: int, path: str) -> None:
    group = met(Path(path), number, 2, 60)
    plain = torch.arange(24.0).reshape(1, 2, 3, 4)
    own = plain.contiguous(memory_format=torch.channels_last) if number else plain
    (found,) = group.added([own])
    assert found.equal(2 * plain)


@pytest.mark.slow
def test_a_sum_of_two_memory_formats_is_not_scrambled(tmp_path: Path) -> None:
    # gloo itself adds up memory as it lies: torch 2.15 gives other values and no error here
    torch.multiprocessing.spawn(_added, (str(tmp_path / "meeting"),), nprocs=2)
