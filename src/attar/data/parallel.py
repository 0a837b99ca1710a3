"""Work on pictures in threads, in order, and counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from attar.data.reading import Watch

T = TypeVar("T")

# pictures per task: enough that handing tasks out costs nothing beside decoding
CHUNK = 32
# tasks handed out at once: the pool never waits, and a failure leaves few to finish
WAITING = 128


class Counted:
    """Counts pictures over all parts, and tells."""

    def __init__(self, what: str, parts: Sequence[Sized], watch: Watch | None) -> None:
        self._what, self._watch = what, watch
        self._done, self._total = 0, sum(map(len, parts))

    def add(self, count: int) -> None:
        """Count this many more."""
        self._done += count
        if self._watch is not None:
            self._watch(self._what, self._done, self._total)


def in_parallel(work: Callable[[range], T], count: int) -> Iterator[tuple[range, T]]:
    """Call ``work`` on chunks of 0…count−1 in threads, and yield its results in order.

    Pillow lets other threads run while it decodes. The first failure, in order, is raised, and
    nothing is begun after it.
    """
    pool = ThreadPoolExecutor(thread_name_prefix="attar-images")
    waiting: deque[tuple[range, Future[T]]] = deque()
    try:
        for start in range(0, count, CHUNK):
            chunk = range(start, min(start + CHUNK, count))
            waiting.append((chunk, pool.submit(work, chunk)))
            if len(waiting) >= WAITING:
                done, future = waiting.popleft()
                yield done, future.result()
        while waiting:
            done, future = waiting.popleft()
            yield done, future.result()
    finally:
        pool.shutdown(cancel_futures=True)
