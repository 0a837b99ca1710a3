"""Classes from which several processes choose, each some of them.

What is drawn of a class follows from keys, and images go through a network in calls of one shape,
so what is chosen is the same bit for bit.
"""

from __future__ import annotations

import contextlib
import pickle
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from attar.compute import Compute
from attar.data.images import LabelledImages
from attar.data.placing import place
from attar.errors import BadRequest, RunFailed
from attar.networks import Network
from attar.parallel import Ended, Executor, Processes, Task, Tell, visible_devices
from attar.parallel.cluster import Cluster
from attar.rng import Key
from attar.teachers.study import Study

# of each worker, so that one with larger classes than the others does not end long after them
_TASKS = 4
# times that a task is done again after its machine of a cluster was lost
_RETRIES = 2
_POLL_SECONDS = 60.0


@dataclass(frozen=True)
class Part:
    """What is chosen of a class, best first.

    Args:
        rows: distinct indices into the data, int64, on the CPU.
        labels: a row of K label values for each of them, float32, on the CPU; None for the class.
        images: network inputs in place of those rows, on the CPU; None where these are taken.
    """

    rows: Tensor
    labels: Tensor | None = None
    images: Tensor | None = None


class Looking(Protocol):
    """A selector that looks at the images of a class with a trained network."""

    def study(self, data: LabelledImages, network: Network, compute: Compute, key: Key) -> Study:
        """Return the trained network."""
        ...

    def learner(self, data: LabelledImages, network: Network) -> Network:
        """Return what it was drawn from."""
        ...

    def of_class(self, study: Study, label: int, count: int, key: Key) -> Part:
        """Return what is chosen of a class."""
        ...


@dataclass(frozen=True)
class _Spread:
    workers: int
    ray: str | None


_HOW: ContextVar[_Spread | None] = ContextVar("how many choose, and where", default=None)


@contextlib.contextmanager
def spread(workers: int, ray: str | None = None) -> Iterator[None]:
    """Let so many processes choose real images in the block, where that takes looking at them.

    Args:
        workers: how many; 1 for this process alone.
        ray: address of the cluster that they are on; None for this machine.
    """
    mark = _HOW.set(_Spread(workers, ray))
    try:
        yield
    finally:
        _HOW.reset(mark)


def is_spread() -> bool:
    """Whether as many processes choose as are asked for: not where a launcher has started them."""
    return _HOW.get() is not None


def each_class(
    selector: Looking,
    study: Study,
    sizes: Sequence[int],
    network: Network,
    key: Key,
    told: Callable[[int], None],
) -> list[Part]:
    """Return what a selector chooses of each class.

    Args:
        selector: whose `of_class` is asked.
        study: the trained network, as its ``study`` returned it.
        sizes: images wanted of each class.
        network: that it was asked with.
        key: likewise.
        told: called with the number of classes that are done.

    Raises:
        BadRequest: the network is not one that other processes find by its name.
        RunFailed: features or scores are NaN or Inf, or a worker was lost.
    """
    how = _HOW.get()
    if how is None or how.workers == 1:
        found = []
        for label, size in enumerate(sizes):
            found.append(selector.of_class(study, label, size, key))
            told(label + 1)
        return found
    known = study.known is not None
    work = _Work(
        selector,
        network,
        study.compute,
        study.data.to(torch.device("cpu")),
        key,
        torch.get_num_threads(),
        None if known else {name: one.cpu() for name, one in study.tensors.items()},
        study.correct,
    )
    count = min(len(sizes), _TASKS * how.workers)
    parts = [part.tolist() for part in torch.arange(len(sizes)).tensor_split(count)]
    with contextlib.closing(_room(how, study.compute)) as room:
        try:
            there = room.share(work)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise _unknown(str(error)) from error
        tasks = [
            Task(
                f"classes {part[0]} to {part[-1]}", _choose, (there, [(n, sizes[n]) for n in part])
            )
            for part in parts
        ]
        answers = _done(room, tasks, told)
    return [_unpacked(one) for task in tasks for one in answers[task.key]]


@dataclass(frozen=True)
class _Work:
    """What another process needs to choose as this one would; it can be pickled.

    Args:
        selector: that chooses.
        network: that it is asked with.
        compute: device, precision, compilation.
        data: the real images, on the CPU.
        key: of everything random.
        threads: of each process.
        tensors: of the trained network, on the CPU; None where each reads it from disk.
        correct: the record of its training.
    """

    selector: Looking
    network: Network
    compute: Compute
    data: LabelledImages
    key: Key
    threads: int
    tensors: dict[str, Tensor] | None
    correct: Tensor

    def study(self) -> Study:
        """Return the trained network, in this process."""
        data = place(self.data, self.compute)
        if self.tensors is None:
            return self.selector.study(data, self.network, self.compute, self.key)
        there = {name: one.to(self.compute.device) for name, one in self.tensors.items()}
        learner = self.selector.learner(data, self.network)
        return Study(data, learner, self.compute, there, self.correct)


# of this process, where it chooses for another, so that what is compiled is compiled once
_STUDIES: list[tuple[_Work, Study]] = []


def _choose(work: _Work, wanted: list[tuple[int, int]], tell: Tell) -> list[Any]:
    """Choose so many images of each of some classes; a task."""
    torch.set_num_threads(work.threads)
    if not _STUDIES or _STUDIES[0][0] is not work:
        _STUDIES[:] = [(work, work.study())]
    ((_, study),) = _STUDIES
    found = []
    for label, size in wanted:
        part = work.selector.of_class(study, label, size, work.key)
        # arrays: tensors would travel by handles of files
        found.append([part.rows.numpy(), _array(part.labels), _array(part.images)])
        tell(label)
    return found


def _array(tensor: Tensor | None) -> Any:
    return None if tensor is None else tensor.numpy()


def _unpacked(values: list[Any]) -> Part:
    rows, *others = values
    return Part(torch.tensor(rows), *(None if one is None else torch.tensor(one) for one in others))


def _room(how: _Spread, compute: Compute) -> Executor:
    if how.ray is not None:
        return Cluster(how.ray, how.workers, retries=_RETRIES)
    any_gpu = str(compute.device) == "cuda"
    return Processes(
        how.workers,
        devices=visible_devices() if any_gpu else (),
        count=torch.get_num_threads(),
        option="--workers",
    )


def _done(room: Executor, tasks: Sequence[Task], told: Callable[[int], None]) -> dict[str, Any]:
    """Return what each task came to, by its key."""
    waiting, found, classes = deque(tasks), dict[str, Any](), 0
    while len(found) < len(tasks):
        while waiting and room.free():
            room.submit(waiting.popleft())
        for ended in room.wait(_POLL_SECONDS):
            found[ended.key] = _value(ended)
            classes += len(ended.value)
            told(classes)
    return found


def _value(ended: Ended) -> Any:
    if ended.not_found:
        raise _unknown(ended.failure)
    ended.raise_failure()
    if ended.stopped:
        raise KeyboardInterrupt
    if ended.lost:
        raise RunFailed(
            f"a worker that chose images of {ended.key} was lost: its {ended.lost}. The same "
            "command with --resume goes on with the network that was trained, where one was kept"
        )
    return ended.value


def _unknown(why: str) -> BadRequest:
    return BadRequest(
        f"--workers: other processes do not find what chooses, or the network that it looks with "
        f"({why}); give a network by name, a selector of your own in a module that they can "
        "import, or leave --workers out"
    )
