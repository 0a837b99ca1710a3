"""One run from its plan to its artefact: checkpoints, selection, snapshots, a log."""

from __future__ import annotations

import contextlib
import math
import threading
import time
import warnings
from collections.abc import Iterator

from attar import stopping
from attar.artefact.artefact import Artefact
from attar.artefact.header import BALANCED, SELECTED_BY
from attar.artefact.snapshots import Snapshots
from attar.condensing import checkpoint, engine
from attar.condensing.checkpoint import Progress
from attar.condensing.coding import TooLarge
from attar.condensing.crew import Crew, Lost
from attar.condensing.diverging import strayed
from attar.condensing.divided import Divided
from attar.condensing.engine import Run
from attar.condensing.estimating import Estimator
from attar.condensing.log import Log
from attar.condensing.outcome import artefact_of
from attar.condensing.pacing import VALIDATING, Pace
from attar.condensing.paths import Paths
from attar.condensing.plan import Plan
from attar.condensing.replicated import Replicated
from attar.condensing.telling import Callback, Estimate
from attar.condensing.tracking import Begin
from attar.condensing.validating import Validator, fitting, told
from attar.errors import BadRequest, Interrupted, RunFailed
from attar.teachers.file import save_teacher
from attar.teachers.teacher import TRAINED
from attar.training import CARDS


def _shared(run: Run, crew: Crew) -> Run:
    """Return a run that workers carry out: each some classes, or a part of every step."""
    kind = Replicated if crew.shares[0].labels is None else Divided
    return kind(run, crew)


class _Left(BaseException):
    """Raised by a signal in the midst of work that changes nothing and can be left at once."""


class Session:
    """One run from its plan to its artefact.

    Args:
        plan: every setting.
        paths: where files go; None writes none.
        callback: told how it goes.
        began: when the command began, by ``time.perf_counter``; None for now.
        crew: workers that share its classes; None for this process alone.
    """

    def __init__(
        self,
        plan: Plan,
        paths: Paths | None,
        callback: Callback,
        began: float | None = None,
        crew: Crew | None = None,
    ) -> None:
        self.plan = plan
        self.paths = paths
        self.callback = callback
        self.pace = Pace(plan.recipe.iterations, plan.request.minutes, began)
        self.snapshots = Snapshots(paths.snapshots, plan.request.kept_steps()) if paths else None
        if self.snapshots is not None:
            self.snapshots.check(plan.recipe.iterations if not plan.request.minutes else None)
        self.log = Log(paths.log if paths else None, self._tracked(paths))
        self._begun = paths.begun if paths is not None and plan.request.resume else None
        run = plan.run(callback.reading, blank=self._begun is not None)
        self.run = run if crew is None else _shared(run, crew)
        self.progress = Progress(balanced=plan.selects_balanced)
        self._clock = self._saved_at = time.perf_counter()
        self._stop = threading.Event()
        self._may_leave = False
        self._timed = plan.request.minutes is not None
        held_out = plan.held_out is not None
        self._validator = Validator(plan, timed=self._timed) if held_out else None

    def _tracked(self, paths: Paths | None) -> list[Begin]:
        """Return what begins the trackers that the request names."""
        plan = self.plan
        run = paths.output.stem if paths else plan.request.chosen.name
        told = {"command": plan.command, **plan.settings}
        return [logger.begins(run, told) for logger in plan.request.loggers()]

    def complete(self) -> Artefact:
        """Carry the run to its end, from its checkpoint where there is one to resume."""
        if self._begun is not None:
            self.progress = checkpoint.restore(self._begun, self.run, self.plan.identity)
            self.pace.resume(self.progress.seconds, self.progress.opened)
            self.pace.passed(self.run.step, 0.0)
            self._refuse_fewer_steps()
            # of a longer run, fewer are due by now
            due = math.floor(self._share() * self._validations() + 1e-9)
            self.progress.validations_done = min(self.progress.validations_done, due)
        self.log.open(self.run.step)
        try:
            left = self._carried_on()
            if self._stop.is_set() and (left or self._share() < 1):
                # a launcher stops all ranks where one was lost, and that one is to be named
                self.run.present()
                self._checkpoint()
                where = f"; continue with --resume -o {self.paths.output}" if self.paths else ""
                raise Interrupted(f"interrupted at step {self.run.step}{where}.")
            return self._finish()
        except RunFailed as error:
            if isinstance(error, TooLarge | Lost):
                self._checkpoint()
            kept = self.paths.checkpoint if self.paths else None
            stopped = self._stop.is_set() and not isinstance(error, Lost)
            if stopped or kept is None or not kept.exists():
                raise
            more = "; --resume goes on, with any number of workers"
            raise RunFailed(
                f"{error} The checkpoint {kept} is kept{more if isinstance(error, Lost) else ''}."
            ) from error
        finally:
            self.log.close()

    def _carried_on(self) -> bool:
        """Do the updates; return whether a signal left something undone between two of them."""
        try:
            with stopping.listening(self._stop, self._asked_to_stop):
                self.pace.passed(self.run.step, 0.0)
                self._begin_snapshots()
                self.callback.planned(self.plan, self.run.step)
                self.callback.started(self.plan, self._estimate(), self.run.step)
                if self._share() < 1:
                    self.callback.formed(self.run.step, self._artefact)
                self._clock = time.perf_counter()
                if self.plan.estimated and self.run.step == 0 and self._validations():
                    # the coded real images, which a trained set has to beat
                    self._validate()
                self._validate_when_due()
                self.run.share = self._share()
                engine.loop(self.run, self._until, self._after)
        except _Left:
            return True
        return False

    def _asked_to_stop(self) -> None:
        if self._may_leave:
            self.callback.stopping("")
            raise _Left
        self.callback.stopping("this step")

    @contextlib.contextmanager
    def _in_phase(self, name: str) -> Iterator[None]:
        """Do what changes nothing of the run, and is left at once where it is asked to stop."""
        self.callback.phase(name)
        self._may_leave = True
        try:
            if self._stop.is_set():
                raise _Left
            yield
        finally:
            self._may_leave = False
        self.callback.phase("condensing")

    def _refuse_fewer_steps(self) -> None:
        wanted, done = self.plan.recipe.iterations, self.run.step
        if self.plan.request.minutes is None and wanted < done:
            raise BadRequest(
                f"--iterations {wanted}: the checkpoint is at step {done} already; give {done} "
                "or more"
            )

    def _until(self, run: Run) -> bool:
        return self._stop.is_set() or self._share() >= 1

    def _share(self) -> float:
        """Return how much of the run is done, from 0 to 1."""
        return self.pace.share(self.run.step)

    def _after(self, run: Run, loss: float) -> None:
        now = time.perf_counter()
        self.pace.passed(run.step, now - self._clock)
        run.share = self._share()
        self.log.step(run.step, loss, self.pace.seconds())
        self.callback.stepped(run.step, loss, self._share(), self.pace.seconds())
        self.callback.formed(run.step, self._artefact)
        # first, since a validation may be left, and the run then goes on behind this step
        self._keep_when_due()
        self._validate_when_due()
        if self.paths and now - self._saved_at >= self.plan.request.checkpoint_seconds:
            self._checkpoint()
        self._clock = time.perf_counter()

    def _validations(self) -> int:
        """Return how often the run validates in all."""
        if self._validator is None:
            return 0
        chosen = self.progress.validations
        return self.plan.request.validations if chosen is None else chosen

    def _validate_when_due(self) -> None:
        """Measure the iterate on held-out images whenever another share of the run is done."""
        wanted = self._validations()
        if self.progress.validations_done >= wanted:
            return
        if self._share() * wanted < self.progress.validations_done + 1 - 1e-9:
            return
        self._validate()
        self.progress.validations_done = math.floor(self._share() * wanted + 1e-9)

    def _validate(self) -> None:
        """Measure the iterate on held-out images, and keep it where it is the best so far."""
        self.run.check()
        with self._in_phase("validating"):
            accuracy = self._validation_accuracy()
        self.progress.last_accuracy = accuracy
        if accuracy > self.progress.best_accuracy:
            self.progress.best_accuracy = accuracy
            self.progress.best_step = self.run.step
            self.progress.best = {
                name: tensor.clone() for name, tensor in self.run.iterate.state_dict().items()
            }
            self.progress.best_learned = self.run.learned_kept()
        self.log.validation(self.run.step, accuracy)
        self.callback.validated(self.run.step, accuracy)

    def _validation_accuracy(self) -> float:
        """Return the accuracy of the current iterate on held-out images.

        Where these are many of one class and few of another, it is balanced accuracy.
        """
        assert self._validator is not None
        begin = time.perf_counter()
        hits = self._validator.hits(self.run, self.progress.validation_epochs)
        self.pace.validates(time.perf_counter() - begin)
        return hits.balanced if self.progress.balanced else hits.accuracy

    def _begin_snapshots(self) -> None:
        if self.snapshots is not None:
            iterate = self._artefact()
            self.snapshots.begin(iterate, self._share())
            self._keep_when_due()

    def _kept_in_all(self) -> int:
        return 0 if self.snapshots is None else self.snapshots.count

    def _keep_when_due(self) -> None:
        if self.snapshots is not None and self.snapshots.due(self.run.step, self._share()):
            iterate = self._artefact()
            self.snapshots.add(iterate, self._share())

    def _estimate(self) -> Estimate:
        """Measure a few steps and a little of a validation, and say what everything takes."""
        estimator = Estimator(self.run, self.plan, self._kept_in_all())
        if self._share() >= 1:
            return estimator.nothing()
        with self._in_phase("compiling" if self.plan.compute.compile else "measuring"):
            estimator.measure_steps()
        notes: tuple[str, ...] = ()
        if self._validations() > self.progress.validations_done:
            assert self._validator is not None
            with self._in_phase("validating"):
                estimator.validation = self._validator.cost(self.run)
            notes = self._settle_validations(estimator)
        if self.run.step == 0:
            self.pace.open()
            self.progress.opened = self.pace.opened
        left = self._validations() - self.progress.validations_done
        epochs = self.progress.validation_epochs
        return estimator.whole(self.pace, left, epochs or self._usual_epochs(), notes)

    def _usual_epochs(self) -> int:
        return 0 if self._validator is None else self._validator.epochs(self.run)

    def _settle_validations(self, estimator: Estimator) -> tuple[str, ...]:
        """Where the clock ends the run, validate for a tenth of its time at most.

        A run of a number of updates must repeat, and so validates as it is asked to.
        """
        cost, usual, limit = estimator.validation, self._usual_epochs(), self.pace.limit
        if limit is None or cost is None:
            return ()
        if self.progress.validations is None:
            asked = self.plan.request.validations
            fits = fitting(asked, usual, cost, VALIDATING * limit)
            self.progress.validations, self.progress.validation_epochs = fits.count, fits.epochs
        count, epochs = self.progress.validations, self.progress.validation_epochs
        one = cost.seconds(epochs or usual)
        self.pace.validates(one if count else 0.0)
        return told(count, epochs, self.plan.request.validations, cost.seconds(usual))

    def _checkpoint(self) -> None:
        if self.paths is not None and self.run.finite():
            self.log.flush()
            self.progress.seconds = self.pace.seconds()
            checkpoint.save(self.paths.checkpoint, self.run, self.progress, self.plan.identity)
            self._saved_at = time.perf_counter()

    def _finish(self) -> Artefact:
        self.callback.phase("writing")
        progress = self.progress
        progress.seconds = self.pace.seconds()
        last = self._artefact()
        artefact = last
        if progress.best and progress.best_step != self.run.step:
            artefact = self._artefact(best=True)
        if self.paths is not None:
            if artefact is not last:
                last.save(self.paths.last)
            else:
                self.paths.last.unlink(missing_ok=True)
            # one without updates is done anew as fast as it is read
            if self.run.step:
                checkpoint.save(self.paths.end, self.run, progress, self.plan.identity)
            self._keep_teacher(self.paths)
            artefact.save(self.paths.output)
            self.paths.checkpoint.unlink(missing_ok=True)
        notes = artefact.header.notes if self.plan.estimated else ()
        for note in (*notes, *strayed(artefact, self.plan)):
            warnings.warn(note, stacklevel=2)
        self.log.finished(self.run.step, artefact.totals.all)
        self.callback.finished(artefact)
        return artefact

    def _keep_teacher(self, paths: Paths) -> None:
        """Write the network that labels come from, where it was trained here and is needed again.

        A card that learns from a teacher asks it for the labels of every batch.
        """
        teacher = self.plan.teacher
        recipe = self.plan.recipe
        needed = CARDS[recipe.card].loss == "kl" and not recipe.carried
        if teacher is not None and teacher.origin == TRAINED and needed:
            save_teacher(paths.teacher, teacher, self.plan.train)

    def _artefact(self, *, best: bool = False) -> Artefact:
        """Return the present iterate, or the best one, as an artefact."""
        progress = self.progress
        if best:
            measured, learned = progress.best_accuracy, progress.best_learned
            tensors, step = progress.best, progress.best_step
        else:
            self.run.check()
            measured, learned = progress.last_accuracy, self.run.learned_kept()
            tensors, step = self.run.iterate.state_dict(), self.run.step
        teacher = self.run.objective.teacher(self.run.problem, self.run.state)
        if teacher is not None and self.run.step:
            self.plan.found["teacher"] = teacher
        iterate = "selected" if best else "last"
        balanced = measured is not None and progress.balanced
        values = {SELECTED_BY: BALANCED} if balanced else {}
        return artefact_of(self.plan, tensors, iterate, step, measured, values, learned)
