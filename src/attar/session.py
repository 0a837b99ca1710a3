"""One run from its plan to its artefact: checkpoints, selection, snapshots, a log."""

from __future__ import annotations

import math
import threading
import time

import torch
from torch import Tensor

from attar import checkpoint, engine, stopping
from attar.artefact import Artefact
from attar.card import BALANCED, SELECTED_BY
from attar.checkpoint import Progress
from attar.compute import peak_memory
from attar.engine import Run
from attar.errors import BadRequest, Interrupted, RunFailed
from attar.evaluation import Trainer
from attar.evaluation import card as find_card
from attar.evaluation.fitting import LEARNT_LR
from attar.listening import Estimate, Listener
from attar.log import Log
from attar.outcome import artefact_of
from attar.paths import Paths
from attar.plan import Plan
from attar.snapshots import Snapshots
from attar.synthetic import Synthetic
from attar.tensors import flatten

# seconds; a step this long is measured once before the run starts
_LONG_STEP = 5.0


class Session:
    """One run from its plan to its artefact.

    Args:
        plan: every setting.
        paths: where files go; None writes none.
        listener: told how it goes.
    """

    def __init__(self, plan: Plan, paths: Paths | None, listener: Listener) -> None:
        self.plan = plan
        self.paths = paths
        self.listener = listener
        self.snapshots = Snapshots(paths.snapshots, plan.request.kept_steps()) if paths else None
        if self.snapshots is not None:
            self.snapshots.check(plan.recipe.iterations if not plan.request.minutes else None)
        self.log = Log(paths.log if paths else None, plan.request.tensorboard)
        self._begun = paths.begun if paths is not None and plan.request.resume else None
        self.run = plan.run(listener.reading, blank=self._begun is not None)
        self.progress = Progress(balanced=plan.selects_balanced)
        self._clock = self._saved_at = time.perf_counter()
        self._stop = threading.Event()
        self._trainer: Trainer | None = None

    def complete(self) -> Artefact:
        """Carry the run to its end, from its checkpoint where there is one to resume."""
        if self._begun is not None:
            self.progress = checkpoint.restore(self._begun, self.run, self.plan.identity)
            self._refuse_fewer_steps()
            # of a longer run, fewer are due by now
            due = math.floor(self._share() * self.plan.request.validations + 1e-9)
            self.progress.validations_done = min(self.progress.validations_done, due)
        self.log.open(self.run.step)
        try:
            with stopping.listening(self._stop):
                self._begin_snapshots()
                self.listener.started(self.plan, self._estimate(), self.run.step)
                self._validate_when_due()
                engine.loop(self.run, self._until, self._after)
            if self._stop.is_set() and self._share() < 1:
                self._checkpoint()
                where = f"; continue with --resume -o {self.paths.output}" if self.paths else ""
                raise Interrupted(f"interrupted at step {self.run.step}{where}.")
            return self._finish()
        except RunFailed as error:
            kept = self.paths.checkpoint if self.paths else None
            if self._stop.is_set() or kept is None or not kept.exists():
                raise
            raise RunFailed(f"{error} The checkpoint {kept} is kept.") from error
        finally:
            self.log.close()

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
        request, iterations = self.plan.request, self.plan.recipe.iterations
        if request.minutes is not None:
            return min(1.0, self.progress.seconds / (60 * request.minutes))
        return 1.0 if iterations == 0 else min(1.0, self.run.step / iterations)

    def _after(self, run: Run, loss: float) -> None:
        now = time.perf_counter()
        self.progress.seconds += now - self._clock
        self.log.step(run.step, loss, self.progress.seconds)
        self.listener.stepped(run.step, loss, self._share(), self.progress.seconds)
        self._validate_when_due()
        self._keep_when_due()
        if self.paths and now - self._saved_at >= self.plan.request.checkpoint_seconds:
            self._checkpoint()
        self._clock = time.perf_counter()

    def _validate_when_due(self) -> None:
        """Measure the iterate on held-out images whenever another share of the run is done."""
        wanted = self.plan.request.validations
        if self.plan.held_out is None or self.progress.validations_done >= wanted:
            return
        if self._share() * wanted < self.progress.validations_done + 1 - 1e-9:
            return
        self.progress.validations_done = math.floor(self._share() * wanted + 1e-9)
        accuracy = self._validation_accuracy()
        self.progress.last_accuracy = accuracy
        if accuracy > self.progress.best_accuracy:
            self.progress.best_accuracy = accuracy
            self.progress.best_step = self.run.step
            self.progress.best = {
                name: tensor.clone() for name, tensor in self.run.iterate.state_dict().items()
            }
            self.progress.best_values = self.run.learned_values()
        self.log.validation(self.run.step, accuracy)
        self.listener.validated(self.run.step, accuracy)

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

    def _validation_accuracy(self) -> float:
        """Train one network on the current set, in brief, and test it on held-out images.

        Where these are many of one class and few of another, the figure is balanced accuracy.
        """
        assert self.plan.held_out is not None
        if self._trainer is None:
            self._trainer = Trainer(self.plan.network, self.plan.compute)
        name = self.plan.recipe.card
        full = find_card(name)
        count = len(self.run.iterate)
        brief = full.with_epochs(min(full.epochs_for(count), 200, max(25, 20_000 // count)))
        learned = self.run.learned_values()
        if full.learnt_lr and LEARNT_LR in learned:
            brief = brief.with_lr(learned[LEARNT_LR])
        images, labels = training_pair(self.run.iterate)
        strategy = brief.strategy(self.plan.train.name, self.plan.network.name)
        key = self.run.key.fold("validation", self.run.step)
        (tensors,) = self._trainer.fit(images, labels, brief, strategy, [key])
        hits = self._trainer.hits(tensors, self.plan.held_out)
        return hits.balanced if self.progress.balanced else hits.accuracy

    def _estimate(self) -> Estimate:
        self._clock = start = time.perf_counter()
        if self._share() >= 1:
            return Estimate(0.0, 0.0, 0.0, peak_memory(self.plan.compute.device), 0)
        self.run.probe()
        first = time.perf_counter() - start
        measured = []
        for _ in range(2):
            begin = time.perf_counter()
            self.run.probe()
            measured.append(time.perf_counter() - begin)
            if measured[-1] > _LONG_STEP:
                break
        step = min(measured)
        request = self.plan.request
        if request.minutes is not None:
            total = max(0.0, 60 * request.minutes - self.progress.seconds)
        else:
            total = step * (self.plan.recipe.iterations - self.run.step)
        tensors, _ = flatten(self.run.state_dict())
        copies = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        self._clock = time.perf_counter()
        return Estimate(
            first,
            step,
            total,
            peak_memory(self.plan.compute.device),
            2 * (1 + self._kept_in_all()) * self.plan.ledger.all + 4 * copies,
        )

    def _checkpoint(self) -> None:
        if self.paths is not None and self.run.finite():
            self.log.flush()
            checkpoint.save(self.paths.checkpoint, self.run, self.progress, self.plan.identity)
            self._saved_at = time.perf_counter()

    def _finish(self) -> Artefact:
        progress = self.progress
        last = self._artefact()
        artefact = last
        if progress.best and progress.best_step != self.run.step:
            artefact = self._artefact(best=True)
        if self.paths is not None:
            if artefact is not last:
                last.save(self.paths.last)
            else:
                self.paths.last.unlink(missing_ok=True)
            checkpoint.save(self.paths.end, self.run, progress, self.plan.identity)
            artefact.save(self.paths.output)
            self.paths.checkpoint.unlink(missing_ok=True)
        self.listener.finished(artefact)
        return artefact

    def _artefact(self, *, best: bool = False) -> Artefact:
        """Return the present iterate, or the best one, as an artefact."""
        progress = self.progress
        if best:
            measured, values = progress.best_accuracy, progress.best_values
            tensors, step = progress.best, progress.best_step
        else:
            measured, values = progress.last_accuracy, self.run.learned_values()
            tensors, step = self.run.iterate.state_dict(), self.run.step
        iterate = "selected" if best else "last"
        if measured is not None and progress.balanced:
            values = {**values, SELECTED_BY: BALANCED}
        return artefact_of(self.plan, tensors, iterate, step, measured, values)


@torch.no_grad()
def training_pair(synthetic: Synthetic) -> tuple[Tensor, Tensor]:
    """Return the images and labels that a network trains on."""
    rows = torch.arange(len(synthetic), device=synthetic.class_of_row.device)
    images, labels = synthetic(rows)
    return images, synthetic.class_of_row if synthetic.labels is None else labels
