"""How the training of experts goes, on standard error."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import TaskID

from attar.budget import format_bytes
from attar.condensing.progress import ReadingBar, run_bar
from attar.experts.plan import Plan
from attar.experts.telling import ExpertCallback
from attar.text import counted, duration

# how often a line is printed where no bar can be drawn
_LINE_SECONDS = 30


class ExpertBar(ExpertCallback):
    """Prints what will be done, then a bar with experts, epochs, speed and time left."""

    def __init__(self, console: Console) -> None:
        self.trained = 0
        self._console = console
        self._reading = ReadingBar(console)
        self._bar = run_bar(console)
        self._task: TaskID | None = None
        self._missing: list[int] = []
        self._epochs = 1
        # epochs passed by each expert, and how many of them in this run
        self._passed: dict[int, int] = {}
        self._fresh = 0
        self._first: tuple[float, int] | None = None
        self._said = self._began = 0.0
        self._estimated = False
        self._facts = ""

    def reading(self, what: str, done: int, total: int) -> None:
        """Show how far reading is, where it takes long."""
        self._reading.show(what, done, total)

    def started(self, plan: Plan, missing: Sequence[int], workers: int) -> None:
        """Print what will be done and start the bar."""
        for line in describe(plan, missing, workers):
            self._say(line)
        self._missing, self._epochs = list(missing), plan.work.header.epochs
        self._began = self._said = time.monotonic()
        self._task = self._bar.add_task("training", total=1.0, left="", facts="")
        self._bar.start()

    def passed(self, experts: Sequence[int], epochs: int) -> None:
        """Move the bar."""
        for expert in set(experts) & set(self._missing):
            before = self._passed.get(expert)
            self._passed[expert] = epochs
            # an expert that goes on begins with what was done before
            self._fresh += epochs - before if before is not None else 0
        self._show()

    def made(self, expert: int, accuracy: float) -> None:
        """Count an expert."""
        self.trained += 1
        self._passed[expert] = self._epochs
        self._facts = f"  expert {expert}: {accuracy:.1f} % on training images"
        self._show()

    def waiting(self, experts: Sequence[int]) -> None:
        """Say that others are at work."""
        self._say(f"waiting for {counted(len(experts), 'expert')} that other processes train")

    def stop(self) -> None:
        """End the bars, whatever happened."""
        self._reading.stop()
        if self._task is not None:
            self._bar.stop()

    def _show(self) -> None:
        if self._task is None:
            return
        total = self._epochs * len(self._missing)
        done = sum(self._passed.values())
        left = self._left(total - done)
        rate = self._rate()
        speed = f"  {60 * rate:.1f} epochs/min" if rate else ""
        facts = f"{self.trained} of {counted(len(self._missing), 'expert')}{speed}{self._facts}"
        self._bar.update(self._task, completed=done / total, left=left, facts=facts)
        now = time.monotonic()
        if left and not self._estimated:
            self._estimated = True
            self._say(f"estimate: {left}")
        if not self._console.is_terminal and now - self._said >= _LINE_SECONDS:
            self._said = now
            self._say(f"{done / total:.0%}  {left}  {facts}")

    def _rate(self) -> float:
        """Return epochs per second, without the first one, which may have compiled something."""
        now = time.monotonic()
        if self._first is None and self._fresh:
            self._first = (now, self._fresh)
        if self._first is None:
            return 0.0
        since, before = self._first
        if self._fresh > before and now > since:
            return (self._fresh - before) / (now - since)
        return 0.0

    def _left(self, epochs: int) -> str:
        rate = self._rate()
        return f"about {duration(epochs / rate)} left" if rate and epochs else ""

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


def describe(plan: Plan, missing: Sequence[int], workers: int) -> list[str]:
    """Return the plan in a few lines for people."""
    work, request = plan.work, plan.request
    training, train = work.header.training, work.train
    there = f", {work.count - len(missing)} of them there" if len(missing) < work.count else ""
    how = "tasks" if request.ray else "processes"
    several = f", {workers} {how}" if workers > 1 else ""
    several += f", {work.together} in one step" if work.together > 1 else ""
    momentum = f", momentum {training['momentum']:g}" if training["momentum"] else ""
    decay = f", weight decay {training['weight_decay']:g}" if training["weight_decay"] else ""
    return [
        f"experts on {plan.source}: {counted(len(train), 'image')} of "
        f"{counted(train.classes, 'class')}",
        f"{counted(work.count, 'expert')} of {plan.network.name}, "
        f"{counted(work.header.epochs, 'epoch')} each{there}",
        f"training: SGD, lr {training['lr']:g}{momentum}{decay}, batch {training['batch']}, "
        f"augmentation {training['augment']}, whitening {work.header.inputs.zca}",
        f"compute: {request.device}, {training['precision']}, "
        f"{'compiled' if work.compile else 'not compiled'}{several}",
        f"disk: {len(missing)} × {format_bytes(plan.expert_bytes)}",
    ]
