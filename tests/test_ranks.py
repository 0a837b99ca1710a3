"""Ranks that a launcher has started: the same result bit for bit, refusals, losses."""

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import attar
from attar.cli import run as cli
from attar.condensing.condense import complete
from attar.condensing.divided import Divided
from attar.condensing.plan import Plan
from attar.condensing.planning import make_plan
from attar.condensing.ranked import Ranks, follow, refuse_mixed
from attar.condensing.replicated import Replicated
from attar.condensing.request import Request
from attar.condensing.telling import Callback
from attar.data import Splits
from attar.errors import BadRequest, RunFailed
from attar.parallel.peers import ALONE
from attar.parallel.ranks import Facts, Gone, Meeting, Rank, rank_of
from catalogue import SMALL, tiny_data

DATA = tiny_data(counts=(12, 15, 9, 11, 13))
OTHER = tiny_data(counts=(12, 15, 9, 11, 13), seed=7)
ASKED: dict[str, Any] = {
    **SMALL,
    "method": "dm",
    "iterations": 3,
    "settings": {"batch_real": 7},
}
STARTED = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29400"}


def planned(data: Any = DATA, **options: Any) -> Plan:
    return make_plan(Request(**{**ASKED, **options}), Splits(data, data))


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, Rank(1, 2)),
        ({"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}, Rank(1, 2, 1, 2)),
        ({"ATTAR_RANK_SECONDS": "5"}, Rank(1, 2, seconds=5.0)),
        ({"WORLD_SIZE": "1", "RANK": "0"}, None),
        ({"RANK": None}, None),
        ({"MASTER_PORT": None}, "WORLD_SIZE=2 are set and MASTER_PORT is not, .* torchrun, or"),
        ({"RANK": "2"}, "RANK=2: from 0 to 1, as WORLD_SIZE=2 says"),
        ({"RANK": "first"}, "RANK=first: a whole number is needed"),
        ({"MASTER_PORT": "abc"}, "MASTER_PORT=abc: a whole number is needed"),
        ({"MASTER_PORT": "70000"}, "MASTER_PORT=70000: from 0 to 65535"),
        ({"ATTAR_RANK_SECONDS": "0"}, "ATTAR_RANK_SECONDS=0: at least 1"),
    ],
    ids=str,
)
def test_a_rank_is_told_by_its_environment(
    changes: Mapping[str, str | None], found: Rank | str | None
) -> None:
    said = {name: value for name, value in {**STARTED, **changes}.items() if value is not None}
    if isinstance(found, str):
        with pytest.raises(BadRequest, match=found):
            rank_of(said)
    else:
        assert rank_of(said) == found


def test_workers_beside_ranks_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], out: Path
) -> None:
    for name, value in STARTED.items():
        monkeypatch.setenv(name, value)
    status = cli(["condense", "digits", "--method", "dm", "--workers", "3", "-o", str(out)])
    said = capsys.readouterr().err
    assert status == 2 and "--workers 3: torchrun has started 2 ranks" in said, said


def test_ranks_of_other_versions_are_refused() -> None:
    ranks = [
        (f"rank {number} of 3 on m{number}", Facts(f"m{number}", (("attar", "1"), ("torch", own))))
        for number, own in enumerate(("2.15", "2.15", "2.14"))
    ]
    refuse_mixed(ranks[:2])
    with pytest.raises(BadRequest, match=r"rank 2 of 3 on m2 has torch 2.14 and rank 0 .* 2.15"):
        refuse_mixed(ranks)


def test_a_port_in_use_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setenv("MASTER_PORT", str(port))
        with pytest.raises(BadRequest, match=f"MASTER_PORT={port}: .* in use .*--master-port"):
            Meeting(Rank(0, 2), {})


@pytest.mark.parametrize(
    ("address", "error"), [("nowhere.invalid", socket.gaierror), ("x" * 70, UnicodeError)]
)
def test_an_address_that_stays_unknown_is_refused(
    address: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*where: Any) -> None:
        raise error("unknown")

    slept: list[float] = []
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setenv("MASTER_ADDR", address)
    with pytest.raises(BadRequest, match=f"MASTER_ADDR={address}: there is no machine of this"):
        Meeting(Rank(1, 2), {})
    assert sum(slept) < 10


class Talk:
    """Two ranks in this process."""

    facts = (Facts("here", ()), Facts("there", ()))

    def __init__(self, number: int, lines: list[queue.SimpleQueue[Any]]) -> None:
        self.rank = Rank(number, 2)
        self._lines = lines
        self.silent = False

    def name(self, number: int) -> str:
        return f"rank {number} of 2 on {self.facts[number].host}"

    def send(self, number: int, value: Any) -> None:
        self._lines[number].put(value)

    def receive(self, number: int) -> Any:
        if self.silent:
            raise Gone("its process has ended")
        return self._lines[self.rank.number].get()

    def peers(self) -> Any:
        return ALONE


def accompanied(other: Plan, call: Any) -> Any:
    """Return what a call comes to for which another thread is the second rank."""
    lines: list[queue.SimpleQueue[Any]] = [queue.SimpleQueue(), queue.SimpleQueue()]
    first, second = Talk(0, lines), Talk(1, lines)
    thread = threading.Thread(target=follow, args=(second, lambda: other))
    thread.start()
    try:
        return call(first)
    finally:
        first.send(1, None)
        thread.join()


def test_ranks_come_to_what_one_process_does() -> None:
    alone = complete(planned(), Callback())
    shared = accompanied(
        planned(), lambda there: complete(planned(workers=2), Callback(), 0, there)
    )
    tensors = alone.synthetic.state_dict()
    assert all(tensors[name].equal(one) for name, one in shared.synthetic.state_dict().items())


@pytest.mark.parametrize(
    ("own", "other", "said"),
    [
        ({"workers": 2}, {}, "torchrun with 2 ranks: the set has 1 class"),
        (
            {"method": "ld", "settings": {"learner": "rr"}},
            {},
            "with 2 ranks: a step of the objective",
        ),
        (
            {},
            {"data": OTHER},
            "rank 1 of 2 on there: it sees other images or labels .* than rank 0",
        ),
    ],
    ids=str,
)
def test_ranks_that_cannot_share_are_refused(
    own: dict[str, Any], other: dict[str, Any], said: str
) -> None:
    few = {"data": tiny_data(counts=(20,))} if "workers" in own else {}
    with pytest.raises(BadRequest, match=said):
        accompanied(planned(**other), lambda there: Ranks(there, planned(**few, **own)))


def test_a_rank_with_other_experts_is_refused(tmp_path: Path) -> None:
    found = []
    for seed in (0, 1):
        options = {"network": SMALL["network"], "torch_compile": "off", "seed": seed}
        where = tmp_path / str(seed)
        attar.train_experts(DATA, output=where, count=1, epochs=1, **options)
        own = {"expert_epochs": 1, "max_start": 1}
        found.append(planned(method="mtt", workers=2, experts=where, settings=own))
    with pytest.raises(BadRequest, match=r"rank 1 of 2 on there: --experts .*1: these are others"):
        accompanied(found[1], lambda there: Ranks(there, found[0]))


def test_a_rank_that_could_not_read_is_named() -> None:
    lines: list[queue.SimpleQueue[Any]] = [queue.SimpleQueue(), queue.SimpleQueue()]

    def unread() -> Plan:
        raise BadRequest("folder:/data: there is no such folder")

    thread = threading.Thread(target=follow, args=(Talk(1, lines), unread))
    thread.start()
    first = Talk(0, lines)
    with pytest.raises(BadRequest, match="rank 1 of 2 on there: folder:/data: there is no such"):
        Ranks(first, planned(workers=2))
    first.send(1, None)
    thread.join()


def test_a_rank_that_is_gone_is_named() -> None:
    def gone(there: Talk) -> None:
        run = Divided(planned().run(), Ranks(there, planned(workers=2)))
        run.advance()
        there.silent = True
        with pytest.raises(RunFailed, match=r"rank 1 of 2 on there \(classes 2 to 4\) was"):
            run.advance()
        assert run.step == 0
        there.silent = False

    accompanied(planned(), gone)


class Waiting:
    """The other rank of an exchange, who is waited for."""

    number, count = 0, 2

    def __init__(self) -> None:
        self.ended = threading.Event()

    def added(self, tensors: Any) -> Any:
        self.ended.wait()
        return list(tensors)


class Short:
    """One who has no memory for an exchange."""

    number, count = 1, 2

    def added(self, tensors: Any) -> Any:
        raise RunFailed("out of memory on this one.")


def test_a_rank_that_fails_alone_in_an_exchange_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = Waiting()
    monkeypatch.setattr(Talk, "peers", lambda there: Short() if there.rank.number else first)

    def fails(there: Talk) -> None:
        ranks = Ranks(there, planned(method="dsa", workers=2))
        run = Replicated(planned(method="dsa").run(), ranks)
        for _ in range(2):
            with pytest.raises(RunFailed, match=r"^rank 1 of 2 on there: out of memory on this"):
                run.advance()
        first.ended.set()

    accompanied(planned(method="dsa"), fails)


# processes of their own


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def written(path: Path, data: Any) -> str:
    arrays = {"x_train": data.images[:, 0].numpy(), "y_train": data.labels.numpy()}
    np.savez(path, **arrays, x_test=arrays["x_train"], y_test=arrays["y_train"])
    return f"npz:{path}"


def command(source: str, output: Path, *more: str) -> list[str]:
    own = (
        "--ipc 2 --network convnet2:width=8 --device cpu --precision float32 "
        "--compile off --set batch_real=7 --threads 1 --validation 0.2 --validations 2"
    )
    return ["condense", source, *own.split(), "-o", str(output), *more]


def started(
    rank: int, count: int, port: int, arguments: list[str], code: Sequence[str] = ("-m", "attar")
) -> subprocess.Popen[str]:
    own = {"RANK": str(rank), "WORLD_SIZE": str(count)}
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return subprocess.Popen(
        [sys.executable, *code, *arguments],
        env={**os.environ, **own, **place},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dm", "dsa"])
def test_torchrun_gives_the_file_of_one_process(method: str, tmp_path: Path) -> None:
    source = written(tmp_path / "tiny.npz", DATA)
    outputs = [tmp_path / name / "set.safetensors" for name in ("alone", "shared")]
    for output in outputs:
        output.parent.mkdir()
    length = ("--method", method, "--iterations", "6", "--snapshots", "2")
    assert cli(command(source, outputs[0], *length)) == 0
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2"]
    port = ["--master-port", str(free_port())]
    done = subprocess.run(
        [sys.executable, *launcher, *port, "-m", "attar", *command(source, outputs[1], *length)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    for name in ("set.safetensors", "set.snapshots.safetensors"):
        one, other = (output.with_name(name).read_bytes() for output in outputs)
        assert one == other


@pytest.mark.slow
def test_a_killed_rank_is_named_and_another_number_goes_on(tmp_path: Path) -> None:
    source = written(tmp_path / "tiny.npz", DATA)
    outputs = [tmp_path / name / "set.safetensors" for name in ("alone", "shared")]
    for output in outputs:
        output.parent.mkdir()
    port = free_port()
    endless = ["--method", "dm", "--iterations", "1000000", "--checkpoint-seconds", "0"]
    ranks = [started(rank, 3, port, command(source, outputs[1], *endless)) for rank in range(3)]
    begun = outputs[1].with_name("set.checkpoint.safetensors")
    end = time.monotonic() + 300
    while not begun.exists() and time.monotonic() < end:
        time.sleep(0.1)
    ranks[2].send_signal(signal.SIGKILL)
    said = [rank.communicate(timeout=300)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [1, 1, -signal.SIGKILL], said
    assert f"rank 2 of 3 on {socket.gethostname()} (classes" in said[0], said[0]
    assert "was lost: its process has ended" in said[0]
    assert "set.checkpoint.safetensors is kept; --resume goes on" in said[0]
    assert "rank 1 of 3: rank 0 ended before the run did" in said[1]


@pytest.mark.slow
def test_ranks_with_other_data_end_with_a_refusal(tmp_path: Path) -> None:
    port = free_port()
    sources = [written(tmp_path / f"{n}.npz", one) for n, one in enumerate((DATA, OTHER))]
    ranks = [
        started(rank, 2, port, command(source, tmp_path / "set.safetensors", "--method", "dm"))
        for rank, source in enumerate(sources)
    ]
    said = [rank.communicate(timeout=300)[1] for rank in ranks]
    assert ranks[0].returncode == 2 and "sees other images or labels" in said[0], said
    assert ranks[1].returncode == 1 and "rank 0 ended before the run did" in said[1], said


FAULTY = """
import sys
from dataclasses import dataclass
import attar
from attar.cli import run
from attar.errors import RunFailed
from attar.objectives import GradientMatching

@attar.register
@dataclass(frozen=True)
class Faulty(GradientMatching):
    name = "faulty"

    def match(self, images, labels, problem, *more, **others):
        if problem.peers.number == 1:
            raise RunFailed("out of memory on this one.")
        return super().match(images, labels, problem, *more, **others)

def main():
    sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.slow
def test_what_fails_in_one_rank_ends_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, port = written(tmp_path / "tiny.npz", DATA), free_port()
    (tmp_path / "faulty.py").write_text(FAULTY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    asked = ["--method", "dc", "--objective", "faulty", "--iterations", "3"]
    ranks = [
        started(
            rank,
            3,
            port,
            command(source, tmp_path / "set.safetensors", *asked),
            ("-c", "from faulty import main; main()"),
        )
        for rank in range(3)
    ]
    said = [rank.communicate(timeout=300)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [1, 1, 1], said
    assert f"rank 1 of 3 on {socket.gethostname()}: out of memory on this one" in said[0], said[0]
    assert all("rank 0 ended before the run did" in one for one in said[1:]), said
