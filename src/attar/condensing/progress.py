"""Progress on standard error, so that standard output stays for results."""

from __future__ import annotations

import contextlib
import importlib.util
import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from attar.artefact.artefact import Artefact
from attar.budget import format_bytes
from attar.condensing.plan import Plan
from attar.condensing.request import Request
from attar.condensing.telling import Callback, Estimate
from attar.data.dividing import joined
from attar.synthetic import Layout
from attar.text import counted, duration
from attar.threads import Choice
from attar.wording import worded

# how often a line is printed where no bar can be drawn
_LINE_SECONDS = 30
# reading that ends within this time shows nothing
_SILENT_SECONDS = 1.0


def draws(console: Console) -> bool:
    """Tell whether a bar can be drawn: on a terminal, or in a notebook that has widgets."""
    if console.is_jupyter:
        return importlib.util.find_spec("ipywidgets") is not None
    return console.is_terminal


class ReadingBar:
    """A bar for each pass over the images, once it takes longer than a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._what = ""
        self._began = self._said = 0.0
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def show(self, what: str, done: int, total: int) -> None:
        """Move the bar, or begin another one when something else is done."""
        now = time.monotonic()
        if what != self._what:
            self.stop()
            self._what, self._began, self._said = what, now, now
        if now - self._began < _SILENT_SECONDS:
            return
        if not draws(self._console):
            if now - self._said >= _LINE_SECONDS:
                self._said = now
                self._console.print(f"{what}: {done} of {total}", highlight=False)
            return
        if self._bar is None:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=self._console,
            )
            self._task = self._bar.add_task(what, total=total)
            self._bar.start()
        self._bar.update(self._task, completed=done)
        if done == total:
            self.stop()

    def stop(self) -> None:
        """End the bar, whatever happened."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def run_bar(console: Console) -> Progress:
    """Return a bar of a run: its share, the time so far, and the fields ``left`` and ``facts``."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}  {task.fields[facts]}"),
        console=console,
    )


class ProgressBar(Callback):
    """Prints the plan and the estimate, then a bar with loss, speed and time left.

    Args:
        console: to print on.
        threads: how their number came about; None where it was not chosen here.
        further: how many times as long as the run the command goes on after it.
        brief: whether the plan is left out, for one of many runs.
    """

    def __init__(
        self,
        console: Console,
        threads: Choice | None = None,
        further: float = 0.0,
        *,
        brief: bool = False,
    ) -> None:
        self._brief = brief
        self._console = console
        self._threads = threads
        self._further = further
        self._reading = ReadingBar(console)
        self._bar = run_bar(console)
        self._task: TaskID | None = None
        self._images = 0
        self._accuracy = ""
        self._said = 0.0
        self._first: tuple[float, int, float] | None = None

    def reading(self, what: str, done: int, total: int) -> None:
        """Show how far reading is, where it takes long."""
        self._reading.show(what, done, total)

    def planned(self, plan: Plan, step: int) -> None:
        """Print what will be done, and start the bar."""
        for line in () if self._brief else describe_plan(plan, self._threads):
            self._console.print(line, highlight=False, soft_wrap=True)
        if step:
            self._console.print(f"resumed at step {step}", highlight=False)
        self._images = len(plan.layout)
        batch = getattr(plan.recipe.objective, "batch_real", 0)
        self._images += sum(min(batch, len(own)) for own in plan.train.indices_of_class)
        self._task = self._bar.add_task("measuring", total=1.0, left="", facts="")
        if draws(self._console) or not self._console.is_jupyter:
            self._bar.start()

    def phase(self, name: str) -> None:
        """Name on the bar what goes on; where there is no bar, say what is long."""
        if self._task is not None:
            self._bar.update(self._task, description=name)
        if name == "compiling" and not draws(self._console):
            self._console.print(name, highlight=False)

    def started(self, plan: Plan, estimate: Estimate, step: int) -> None:
        """Print what it takes."""
        if estimate.total_seconds:
            line = describe_estimate(estimate, self._further)
            self._console.print(line, highlight=False, soft_wrap=True)
        for note in estimate.notes:
            self._console.print(f"note: {note}", highlight=False, soft_wrap=True)

    def stopping(self, after: str) -> None:
        """Say that the request to stop was heard."""
        # printing in the midst of printing is refused by Python's files
        with contextlib.suppress(RuntimeError):
            what = f"stopping after {after}; again to stop at once" if after else "stopping"
            self._console.print(what, highlight=False)

    def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
        """Move the bar."""
        if self._task is None:
            return
        if self._first is None:
            self._first = (seconds, step, share)
        begin, first, before = self._first
        since, gone = seconds - begin, share - before
        speed = (step - first) * self._images / since if since > 0 else 0.0
        left = f"{duration(since / gone * (1 - share))} left" if gone > 0 and share < 1 else ""
        facts = f"step {step}  loss {loss:.4g}  {speed:.0f} images/s{self._accuracy}"
        self._bar.update(self._task, completed=share, left=left, facts=facts)
        if not draws(self._console) and seconds - self._said >= _LINE_SECONDS:
            self._said = seconds
            self._console.print(f"{share:.0%}  {left}  {facts}", highlight=False, soft_wrap=True)

    def validated(self, step: int, accuracy: float) -> None:
        """Show the latest accuracy on held-out images."""
        self._accuracy = f"  held-out {accuracy:.1f} %"

    def finished(self, artefact: Artefact) -> None:
        """End the bar."""
        self.stop()

    def stop(self) -> None:
        """End the bars, whatever happened."""
        self._reading.stop()
        if self._task is not None:
            self._bar.stop()


def describe_estimate(estimate: Estimate, further: float = 0.0) -> str:
    """Return what a run takes in one line for people.

    Args:
        estimate: of the run.
        further: how many times as long the command goes on after it.
    """
    parts = [f"a first step of {estimate.first_seconds:.1f} s, with what it compiles"]
    if estimate.step_seconds is not None:
        parts = [f"{estimate.step_seconds:.3g} s a step after a first one of "]
        parts[0] += f"{estimate.first_seconds:.1f} s"
    if estimate.validating_seconds:
        parts.append(f"validating {duration(estimate.validating_seconds)}")
    whole = duration((1 + further) * estimate.total_seconds)
    return (
        f"estimate: {whole} in all ({', '.join(parts)}), "
        f"memory {format_bytes(estimate.memory)}, disk {format_bytes(estimate.disk)}"
    )


def _data_of(plan: Plan) -> str:
    """Return what the images are: a source, or the artefact that is slimmed."""
    slimmed = plan.provenance.get("slimmed")
    return str(slimmed["from"]) if slimmed else plan.source


def unasked_budget(request: object) -> str:
    """Return what is taken where nobody said how large the set may be; empty where that is said."""
    if not isinstance(request, Request):  # that of slimming has no such default
        return ""
    if (request.ipc, request.max_bytes, request.synthetic_per_class) != (None, None, None):
        return ""
    return worded(
        f"no budget was given: taken is --ipc 1, the memory of one full image per class, with the "
        f"method {request.chosen.name}. Say --ipc 10, or --bytes 120kB for what the file may take"
    )


def describe_plan(plan: Plan, threads: Choice | None = None) -> list[str]:
    """Return the plan in a few lines for people.

    Args:
        plan: of the run.
        threads: how their number came about, where it was chosen for the command.
    """
    layout, compute = plan.layout, plan.compute
    rest = "; planned by what real images take" if plan.estimated else ""
    if plan.limit is not None:
        used = plan.ledger.all if plan.request.budget().count == "all" else plan.ledger.paper
        rest = f", {plan.limit - used} B of {plan.limit} B unused{rest}"
    held = ""
    if plan.held_out is not None:
        how = "validation images" if plan.parts.get("validation") else "held out to"
        held = f"; {len(plan.held_out)} {how} select the iterate"
    if plan.selects_balanced:
        held += " by balanced accuracy, since classes are of unequal size"
    own = map(len, plan.train.indices_of_class)
    short = [pair for pair in zip(own, layout.sizes(), strict=True) if pair[0] < pair[1]]
    again = []
    if plan.recipe.start is not None and short:
        fewest, wanted = min(short)
        again = [
            f"note: the smallest class has {fewest} images for {wanted}; such classes "
            "start from theirs more than once"
        ]
    unasked = unasked_budget(plan.request)
    return [
        *([f"note: {unasked}"] if unasked else []),
        f"{plan.request.method} on {_data_of(plan)}: {counted(len(plan.train), 'image')} of "
        f"{counted(layout.classes, 'class')}{held}",
        *_choice_of(plan),
        *_parts_of(plan),
        f"budget: {_count(layout)}, {plan.ledger.values} values, "
        f"{plan.ledger.paper} B (paper), {plan.ledger.all} B (all){rest}",
        f"compute: {compute.device}, {compute.precision}, "
        f"{'compiled' if compute.compile else 'not compiled'}{_threads(plan, threads)}, "
        f"network {plan.network.name}",
        f"preset: {plan.request.method} for {plan.train.name}, {_stored_as(plan)}, "
        f"{_settings(plan)}",
        *again,
    ]


def _choice_of(plan: Plan) -> list[str]:
    """Return what the method decided by itself, where it does, and why."""
    return [] if plan.choice is None else [plan.choice.told]


def _parts_of(plan: Plan) -> list[str]:
    """Return how the parts of real images came about, and how to have no test part cut off."""
    note = str(plan.parts.get("note", ""))
    if not note or "slimmed" in plan.provenance:
        return []
    note = joined(note, plan.train.told)
    unasked = plan.parts["test_share"] and plan.reading.get("test_share") is None
    return [f"data: {note}" + ("; --test-share 0 condenses all" if unasked else "")]


def _count(layout: Layout) -> str:
    if layout.is_equal:
        return f"{counted(layout.per_class, 'image')} per class"
    return f"{layout.rows} images, {min(layout.sizes())} to {layout.per_class} per class"


def _threads(plan: Plan, chosen: Choice | None) -> str:
    """Return how many threads there are, where they do the arithmetic, and how many workers."""
    count, asked = plan.compute.record().get("threads"), plan.request.workers
    if plan.workers > 1:
        return f", {asked} workers" + (f" of {counted(count, 'thread')} each" if count else "")
    if asked > 1:
        alone = f"one process draws, --workers {asked} changes nothing"
        return f", {Choice(count, alone)}" if count else f", {alone}"
    if count is None:
        return ""
    return f", {chosen if chosen is not None and chosen.count == count else Choice(count)}"


def _settings(plan: Plan) -> str:
    start = str(plan.recipe.selector or plan.recipe.init)
    if plan.request.chosen.coreset:
        carried = plan.recipe.carried
        beside = f", whose teacher travels as {carried}" if carried else ""
        return ("drawn at random" if start == "real" else f"chosen by {start}") + beside
    leading = plan.recipe.leading
    lr = "frozen" if leading is None else f"lr {leading.lr:g}"
    return f"{lr}, init {start}, {plan.recipe.objective}"


def _stored_as(plan: Plan) -> str:
    settings = plan.recipe.parametrization.describe()
    return f"rank {settings['rank']}" if "rank" in settings else str(settings["name"])
