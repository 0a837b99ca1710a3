"""Processes that a launcher such as ``torchrun`` has started, on one machine or on several.

Rank 0 leads: it asks, and the others answer. What they say travels by ``torch.distributed`` with
gloo. Free of torch until they meet.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from attar.errors import BadRequest, RunFailed

if TYPE_CHECKING:
    from attar.parallel.peers import Peers

# says for how many seconds an answer is waited for
SECONDS = "ATTAR_RANK_SECONDS"
_ANSWER = 3600.0
# for all of them to be there
_MEETING = 600.0
# a rank is asked for nothing while the first one validates
_BETWEEN = 7 * 86400.0
_PLACE = ("MASTER_ADDR", "MASTER_PORT")
# a second apart: a cluster may learn the name of a machine just after it has started a rank there
_TRIES = 5


class Gone(RunFailed):
    """A rank is not there any more, or says nothing."""


@dataclass(frozen=True)
class Rank:
    """Which of the processes this one is.

    Args:
        number: from 0, which leads.
        count: of all, two or more.
        local: number among those of this machine.
        beside: how many are on this machine.
        seconds: for which an answer is waited for.
    """

    number: int
    count: int
    local: int = 0
    beside: int = 1
    seconds: float = _ANSWER

    @property
    def leads(self) -> bool:
        """Whether this is rank 0."""
        return self.number == 0

    def __str__(self) -> str:
        return f"rank {self.number} of {self.count}"


def rank_of(environment: Mapping[str, str]) -> Rank | None:
    """Return which rank this process is by its environment; None where it was started alone.

    Raises:
        BadRequest: the variables say it in part, or not by numbers.
    """
    if "RANK" not in environment or environment.get("WORLD_SIZE", "1") == "1":
        return None
    missing = [name for name in _PLACE if not environment.get(name)]
    if missing:
        raise BadRequest(
            f"RANK and WORLD_SIZE={environment['WORLD_SIZE']} are set and {missing[0]} is not, so "
            "the ranks cannot meet; start them with torchrun, or unset RANK for one process"
        )
    number, count = _whole(environment, "RANK"), _whole(environment, "WORLD_SIZE")
    if not 0 <= number < count:
        raise BadRequest(f"RANK={number}: from 0 to {count - 1}, as WORLD_SIZE={count} says")
    if not 0 <= (port := _whole(environment, "MASTER_PORT")) < 2**16:
        raise BadRequest(f"MASTER_PORT={port}: from 0 to 65535")
    local = _whole(environment, "LOCAL_RANK", "0")
    beside = _whole(environment, "LOCAL_WORLD_SIZE", "1")
    return Rank(number, count, local, max(1, beside), seconds_of(environment))


def seconds_of(environment: Mapping[str, str]) -> float:
    """Return for how many seconds an answer of another process is waited for.

    Raises:
        BadRequest: no number from 1.
    """
    seconds = _whole(environment, SECONDS, str(int(_ANSWER)))
    if seconds < 1:
        raise BadRequest(f"{SECONDS}={seconds}: at least 1 is needed")
    return float(seconds)


def _whole(environment: Mapping[str, str], name: str, usual: str = "") -> int:
    text = environment.get(name, usual)
    try:
        return int(text)
    except ValueError:
        raise BadRequest(f"{name}={text}: a whole number is needed") from None


@dataclass(frozen=True)
class Facts:
    """What ranks must share to come to the same result, and where one is.

    Args:
        host: name of its machine.
        versions: of what computes.
    """

    host: str
    versions: tuple[tuple[str, str], ...]


class Meeting:
    """The ranks of a run, once all are there.

    Args:
        rank: which one this is.
        versions: of what computes here, by name.

    Raises:
        BadRequest: the port of the meeting is in use, or its address is not known.
        RunFailed: not all came in time.
    """

    def __init__(self, rank: Rank, versions: Mapping[str, str]) -> None:
        _refuse_unknown(os.environ.get("MASTER_ADDR", ""))
        import torch
        from torch import distributed

        self.rank = rank
        self._torch, self._line = torch, distributed
        if torch.cuda.is_available():
            torch.cuda.set_device(rank.local % torch.cuda.device_count())
        found: list[Any] = [None] * rank.count
        try:
            distributed.init_process_group(
                "gloo",
                rank=rank.number,
                world_size=rank.count,
                timeout=timedelta(seconds=_MEETING),
            )
            own = Facts(socket.gethostname(), tuple(sorted(versions.items())))
            distributed.all_gather_object(found, own)
            wait = timedelta(seconds=rank.seconds)
            self._exchange = distributed.new_group(backend="gloo", timeout=wait)
        except RuntimeError as error:
            raise _apart(rank, error) from error
        self.facts: list[Facts] = found

    def name(self, number: int) -> str:
        """Return what a rank is called in messages."""
        return f"rank {number} of {self.rank.count} on {self.facts[number].host}"

    def send(self, number: int, value: Any) -> None:
        """Send a value that can be pickled to a rank.

        Raises:
            Gone: it is not there.
        """
        content = self._torch.frombuffer(bytearray(pickle.dumps(value)), dtype=self._torch.uint8)
        with self._heard():
            for tensor in (self._torch.tensor([len(content)]), content):
                work = self._line.isend(tensor, number)
                assert work is not None
                work.wait(timedelta(seconds=self.rank.seconds))

    def receive(self, number: int) -> Any:
        """Return what a rank sends; rank 0 waits for answers, the others for what is next.

        Raises:
            Gone: it is not there, or says nothing in time.
        """
        seconds = self.rank.seconds if self.rank.leads else _BETWEEN
        size = self._torch.zeros(1, dtype=self._torch.int64)
        with self._heard():
            self._received(size, number, seconds)
            content = self._torch.empty(int(size), dtype=self._torch.uint8)
            self._received(content, number, seconds)
        return pickle.loads(content.numpy().tobytes())

    def peers(self) -> Peers:
        """Return the ranks as those that share steps, beside what they say to each other."""
        from attar.parallel.peers import Group

        return Group(self._exchange)

    def close(self) -> None:
        """Leave the others."""
        self._line.destroy_process_group()

    def _received(self, tensor: Any, number: int, seconds: float) -> None:
        work = self._line.irecv(tensor, number)
        assert work is not None
        work.wait(timedelta(seconds=seconds))

    @contextlib.contextmanager
    def _heard(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            late = "timed out" in str(error).lower()
            why = f"it said nothing for {self.rank.seconds:g} s ({SECONDS} says how long)"
            raise Gone(why if late else "its process has ended") from error


def _refuse_unknown(address: str) -> None:
    """Refuse an address that stays unknown, which would be tried until all should have met."""
    for left in reversed(range(_TRIES)):
        try:
            socket.getaddrinfo(address, None)
            return
        # a name with a part that is empty or too long is none at all
        except (OSError, UnicodeError) as error:
            if left and not isinstance(error, UnicodeError):
                time.sleep(1)
                continue
            raise BadRequest(
                f"MASTER_ADDR={address}: there is no machine of this name ({error}); give the name "
                "or the address of the machine of rank 0, as this one knows it"
            ) from error


def _apart(rank: Rank, error: RuntimeError) -> BadRequest | RunFailed:
    """Say why the ranks do not meet."""
    host, port = (os.environ.get(name, "") for name in _PLACE)
    if "EADDRINUSE" in str(error) or "already in use" in str(error):
        return BadRequest(
            f"MASTER_PORT={port}: the port is in use on {host}; give another one, such as torchrun "
            f"--master-port {_other(port)}"
        )
    return RunFailed(
        f"{rank} did not meet the others at {host}:{port} within {_MEETING:g} s ({_first(error)}); "
        "start as many as WORLD_SIZE says, where each can reach that address"
    )


def _other(port: str) -> int:
    return int(port) % 65_000 + 1 if port.isdigit() else 29_501


def _first(error: RuntimeError) -> str:
    return str(error).strip().partition("\n")[0]
