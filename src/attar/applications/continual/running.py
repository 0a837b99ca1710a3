"""`attar.continual`: classes arrive step by step, and only the memory crosses a step."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

from attar import threads
from attar.applications.continual.checking import check, common_card, usual_slimming
from attar.applications.continual.classes import class_order, division
from attar.applications.continual.keywords import ContinualOptions
from attar.applications.continual.page import write_html
from attar.applications.continual.request import Condensing, ContinualRequest
from attar.applications.continual.results import ContinualResult, Step
from attar.applications.continual.stepping import Stepping
from attar.applications.continual.telling import ContinualCallback
from attar.applications.folders import RESULTS, begin, run_folder
from attar.budget import FLOAT32_BYTES
from attar.data import as_splits, bearing
from attar.data.identity import digest_of
from attar.data.rows import in_memory
from attar.options import request_and_reading, request_of
from attar.renaming import keywords
from attar.text import counted
from attar.wording import KEYWORDS

PAGE = "continual.html"


@keywords(slim_set="slim_settings", **KEYWORDS)
def continual(
    data: Any,
    steps: int,
    memory: str,
    *,
    callback: ContinualCallback | None = None,
    **options: Unpack[ContinualOptions],
) -> ContinualResult:
    """Learn classes that arrive step by step, from a memory of condensed sets alone.

    After every step the classes that arrived are condensed from their own images, a new network
    is trained from scratch on the memory, and tested on all classes seen so far.

    Args:
        data: as `attar.condense` takes it, with a test part.
        steps: groups in which the classes arrive, at most as many as there are classes.
        memory: ``20ipc`` (full float32 images of each class), ``60kB/class``, or, for all classes
            together, ``500images`` or ``1.5MB``: such a memory is slimmed as classes arrive.
        callback: told how it goes; silent by default.
        **options: the fields of `attar.applications.continual.request.ContinualRequest`, such as
            ``orders=3``, ``slimming="learning-free"`` or ``output``, a folder whose run is gone on
            with (without one, nothing is kept); those of `attar.condense` that say how classes are
            condensed; and those of reading the data.

    Returns:
        Accuracies step by step, forgetting and bytes.

    Raises:
        BadRequest: something about the request or the data; nothing was started.
        RunFailed: a run diverged, was interrupted, or a file could not be written.

    Example:
        >>> attar.continual("digits", 5, "2ipc", method="random").average  # doctest: +SKIP
        71.2
    """
    given: dict[str, Any] = {**options}
    own = ContinualRequest.__dataclass_fields__
    mine = {name: given.pop(name) for name in list(given) if name in own}
    mine |= {"steps": steps, "memory": memory}
    condensing, reading = request_and_reading(Condensing, given)
    request = request_of(ContinualRequest, mine)
    return carry_out(request, condensing, data, callback or ContinualCallback(), **reading)


def carry_out(
    request: ContinualRequest,
    condensing: Condensing,
    data: Any,
    callback: ContinualCallback,
    **reading: Any,
) -> ContinualResult:
    """Do what `continual` does, from requests.

    Args:
        request: the options.
        condensing: how classes are condensed.
        data: as `continual` takes it.
        callback: told how it goes.
        **reading: how the data are read.
    """
    _ = condensing.chosen
    with threads.using(condensing.threads), run_folder(request.output, "continual") as folder:
        splits = as_splits(
            data,
            zca=condensing.zca or (lambda name: condensing.chosen.zca(name, request.held.ipc or 1)),
            watch=callback.reading,
            **reading,
        )
        sizes = division(splits.train.classes, request.steps)
        check(request, condensing, splits, sizes, reading)
        assert splits.test is not None
        run = _Run(
            request, condensing, splits, splits.test, reading, folder, callback, tuple(sizes)
        )
        return run.whole()


@dataclass(frozen=True)
class _Run(Stepping):
    """A run with everything that it needs.

    Args:
        sizes: classes of each step.
    """

    sizes: tuple[int, ...]

    def whole(self) -> ContinualResult:
        """Do all orders, or what is left of them."""
        self._begin()
        for line in self._told():
            self.callback.said(line)
        steps: list[Step] = []
        for order in range(1, self.request.orders + 1):
            memory: tuple[str, ...] = ()
            names = self.splits.train.class_names
            groups = class_order(names, self.sizes, self.seed(order))
            for number in range(1, len(groups) + 1):
                one = self.step(order, number, groups[:number], memory)
                memory = one.memory
                steps.append(one)
                # as far as it is, for whoever looks meanwhile
                self._result(steps).save(self.folder / RESULTS)
                write_html(self.folder / PAGE, self._result(steps))
                self.callback.measured(one)
        return self._result(steps)

    def _begin(self) -> None:
        """Refuse a folder of another run, or note in it what is asked for."""
        train = self.splits.train
        command = dataclasses.replace(self.request, orders=1, output=None).command(
            self.splits.source, self.condensing, **bearing(self.reading)
        )
        images = digest_of(train) if in_memory(train.images) else len(train)
        asked = {"command": command, "images": images}
        begin(self.folder, asked, ["order-*/step-*"], overwrite=self.request.overwrite)

    def _told(self) -> Iterator[str]:
        request, shape, sizes = self.request, self.splits.train.shape, self.sizes
        if self.splits.note:
            yield self.splits.note
        listed = ", ".join(map(str, sizes))
        unequal = (
            "" if len(set(sizes)) == 1 else ": they do not divide evenly, and none is left out"
        )
        yield f"{sum(sizes)} classes arrive in {counted(len(sizes), 'step')} of {listed}{unequal}"
        held = request.held
        if not held.fixed:
            return
        seen = [sum(sizes[: step + 1]) for step in range(len(sizes))]
        each = [held.per_class(one, shape, request.rounding) or 0 for one in seen]
        most = max(count * one for count, one in zip(each, seen, strict=True))
        over = most - (held.limit(shape) or 0) // (math.prod(shape) * FLOAT32_BYTES)
        yield (
            f"memory of {request.memory}: {' → '.join(map(str, each))} images of each class, "
            f"slimmed by {usual_slimming(request, self.condensing)}"
            + (f"; rounded up, it is exceeded by up to {over} images" if over > 0 else "")
        )
        card = common_card(request, self.condensing, self.splits)
        if card is not None:
            yield f"networks of all steps are trained by the card {card}"

    def _result(self, steps: Sequence[Step]) -> ContinualResult:
        request = self.request
        # what is used where no method is named depends on how the memory is counted
        name = self.condensing.of(request.held, 1, 1, None).chosen.name
        return ContinualResult(
            f"{name} on {self.splits.source}, {request.memory}",
            request.command(self.splits.source, self.condensing, **bearing(self.reading)),
            self.sizes,
            request.orders,
            request.held.limit(self.splits.train.shape),
            tuple(steps),
        )
