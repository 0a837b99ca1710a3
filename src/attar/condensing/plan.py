"""Everything that a run depends on, once every setting is concrete."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from attar.artefact.fingerprint import fingerprint
from attar.budget import Ledger
from attar.compute import Compute
from attar.condensing.bounding import black_and_white, keeps_within
from attar.condensing.engine import Bounds, Run
from attar.condensing.overrides import names_of, settings_of
from attar.condensing.real_start import CodedStart, Rows, real_rows
from attar.condensing.request import Request
from attar.coresets import Selector, StudyingSelector
from attar.data import SOURCES, LabelledImages, as_texts, bearing
from attar.data.reading import Watch
from attar.errors import BadRequest
from attar.experts.store import ExpertStore
from attar.methods import Choice, Recipe
from attar.networks import Network
from attar.networks.starting import opened
from attar.objectives import Nested, Objective, Problem, WeightedSum
from attar.objectives.base import Trajectories
from attar.options import naming_option
from attar.rng import Key
from attar.storage import grid_of, storage_of
from attar.synthetic import Layout, Synthetic
from attar.teachers.teacher import Teacher
from attar.tensors import feed
from attar.training import CARDS
from attar.training.by_class import unequal

# parts of an identity that only updates of the set depend on
_OF_UPDATES = ("objective", "optimisers", "scheduled_steps", "average", "validations")


@dataclass(frozen=True)
class Plan:
    """Everything that a run depends on.

    Args:
        request: what was asked for.
        source: where the data came from.
        recipe: the method with the user's changes.
        train: the images to condense, without those held out.
        held_out: images that select the iterate; None without selection.
        layout: rows of the set.
        ledger: what it will cost.
        limit: the allowance in bytes; None for a plain count.
        network: to match in.
        compute: device, precision, compilation.
        reading: how the source was read: see `attar.condensing.request.READING`.
        start: the set that the run starts from, where the recipe says ``given``.
        made_by: the command that asks for the same result; None for that of the request.
        provenance: more to tell in the artefact about where it comes from.
        experts: networks trained on the real data, where the objective follows any.
        parts: what is told of the parts of the data; see
            `attar.condensing.selecting.Selection.facts`.
        coded_start: the real images that the set is or starts from, where their number follows
            from what they take when coded.
        choice: what the method decided by itself, where it does; the request has it in place.
        found: what came of the start: the ``teacher``, once it is there.
    """

    request: Request
    source: str
    recipe: Recipe
    train: LabelledImages
    held_out: LabelledImages | None
    layout: Layout
    ledger: Ledger
    limit: int | None
    network: Network
    compute: Compute
    reading: Mapping[str, Any] = field(default_factory=dict)
    start: Synthetic | None = None
    made_by: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    experts: ExpertStore | None = None
    parts: Mapping[str, Any] = field(default_factory=dict)
    coded_start: CodedStart | None = None
    choice: Choice | None = None
    found: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def teacher(self) -> Teacher | None:
        """The trained network that labels come from, once it is there; None where none do."""
        recipe = self.recipe
        needed = recipe.learned_labels or recipe.carried or CARDS[recipe.card].loss == "kl"
        return self.found.get("teacher") if needed else None

    @property
    def command(self) -> str:
        """What asks for the same result: a command line, or a call for data from Python."""
        if self.made_by is not None:
            return self.made_by
        reading = self.repeated_reading
        if self.source.partition(":")[0] not in SOURCES:
            return self.request.call(**reading)
        return self.request.command(self.source, **as_texts(reading))

    @property
    def repeated_reading(self) -> dict[str, Any]:
        """The options of reading that bear on the result, where given."""
        return bearing(self.reading)

    def run(self, watch: Watch | None = None, *, blank: bool = False) -> Run:
        """Return the run at its beginning.

        Args:
            watch: told how far the choosing of real images is, where it takes long.
            blank: leave the set empty, to be filled from a checkpoint.

        Raises:
            BadRequest: the objective refuses the problem.
            RunFailed: the training of a network to choose with diverged.
        """
        key = Key(self.request.seed)
        recipe = self.recipe
        synthetic = Synthetic(self.layout, recipe.parametrization, recipe.learned_labels)
        problem = self.problem(self.experts)
        # refused before a network is trained for the start
        self.check(problem)
        if self.start is not None:
            synthetic.load_state_dict(self.start.state_dict())
        else:
            self._begin(synthetic, key.fold("start"), watch, blank=blank)
        synthetic.to(self.compute.device)
        return Run(
            synthetic,
            recipe.objective,
            problem,
            recipe.optimisers,
            key,
            self.steps,
            recipe.average,
            recipe.penalty,
            self.bounds,
            storage_of(self.request.stored_as),
        )

    def check(self, problem: Problem | None = None) -> None:
        """Refuse what the objective cannot take.

        Args:
            problem: what it may read; None for that of a plan which is looked at, without experts.

        Raises:
            BadRequest: it does.
        """
        objective = self.recipe.objective
        if problem is not None or not objective.follows_experts:
            try:
                objective.check(problem or self.problem(None))
            except BadRequest as error:
                raise naming_option(error, names_of(objective)) from None

    @property
    def bounds(self) -> Bounds | None:
        """Within which the run keeps what is stored; None where nothing is asked, or the form does.

        Only values that are stored as they are stay where they were put, and pictures, which have
        none outside.
        """
        form = self.recipe.parametrization
        if not ((self.request.bounded or self.recipe.bounded) and keeps_within(form, self.request)):
            return None
        return black_and_white(self.train.preprocessing)

    def problem(self, experts: Trajectories | None) -> Problem:
        """Return what the objective may read, with the trajectories that it follows, if any.

        Where gradients are matched, networks of timm begin with no branch silent (see
        `attar.networks.starting`). Iterates are still judged by the network as it is.
        """
        network = opened(self.network) if self.recipe.objective.matches_gradients else self.network
        variants = self.recipe.parametrization.variants(self.layout)
        return Problem(
            self.train,
            network,
            self.layout,
            self.compute,
            experts=experts,
            variants=variants,
            steps=self.steps,
        )

    def _begin(self, synthetic: Synthetic, key: Key, watch: Watch | None, *, blank: bool) -> None:
        """Fill the set as the recipe says."""
        selector, labels = self.recipe.start, None
        if selector is None:
            synthetic.images.start_from_noise(key)
        elif not blank:
            bases = self.recipe.parametrization.real_bases(self.layout)
            sizes = self.layout.sizes() if bases is None else bases
            images, labels, teacher = self._real_start(selector, sizes, key, watch)
            if teacher is not None:
                self.found["teacher"] = teacher
            if bases is None:
                synthetic.images.fit(images)
            else:
                synthetic.images.start_from_noise(key)
                synthetic.images.keep(images)
                # they are of the bases, and not of the rows
                labels = None
        if synthetic.labels is not None:
            own = self.recipe.first_labels(self.layout) if labels is None else labels
            synthetic.labels.fit(own)

    @property
    def estimated(self) -> bool:
        """Whether the ledger tells what real images take, in place of those that are trained."""
        return self.coded_start is not None and self.recipe.iterations > 0

    @property
    def steps(self) -> int | None:
        """Updates of the whole run; None where time ends it."""
        return self.recipe.iterations if self.request.minutes is None else None

    @property
    def workers(self) -> int:
        """Processes that do the work: one where real images are drawn without looking at them."""
        draws = self.request.chosen.coreset and not isinstance(self.recipe.start, StudyingSelector)
        return 1 if draws else self.request.workers

    @cached_property
    def selects_balanced(self) -> bool:
        """Whether the iterate is selected by balanced accuracy on held-out images.

        It is where these are many of one class and few of another, so that accuracy would choose
        what knows the largest class.
        """
        return self.held_out is not None and unequal(
            [len(own) for own in self.held_out.indices_of_class]
        )

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What two runs must share to have the same result, step by step."""
        recipe = self.recipe
        identity = {
            "method": self.request.chosen.name,
            "seed": self.request.seed,
            "objective": _of_objective(recipe.objective),
            "parametrization": recipe.parametrization.describe(),
            "optimisers": {
                role: None if one is None else one.describe()
                for role, one in recipe.optimisers.items()
            },
            "scheduled_steps": self.steps if self._is_scheduled() else None,
            "average": recipe.average,
            "init": self._described_start(),
            "network": self.network.name,
            "images_per_class": self.layout.per_class,
            "held_out": 0 if self.held_out is None else len(self.held_out),
            "storage": self.request.stored_as,
            "validations": self.request.validations,
            "card": recipe.card,
            "data": fingerprint(self.train),
            "compute": self.compute.describe(),
        }
        if self.layout.counts is not None:
            identity["class_counts"] = list(self.layout.counts)
        if self.recipe.objective.matches_gradients and opened(self.network) is not self.network:
            identity["network_start"] = "no branch at zero"
        if self.request.bounded or recipe.bounded:
            identity["bounded"] = True
        if self.experts is not None:
            identity["experts"] = self.experts.digest
        if self.held_out is not None:
            identity["selection"] = fingerprint(self.held_out)
        if recipe.carried:
            identity["teacher_storage"] = recipe.carried
        if recipe.penalty is not None:
            identity["penalty"] = {"name": recipe.penalty.name, **settings_of(recipe.penalty)}
        if self.request.chosen.coreset:
            # real images as they are: what would update them says nothing of them
            return {name: value for name, value in identity.items() if name not in _OF_UPDATES}
        return identity

    def _described_start(self) -> str | dict[str, Any]:
        if self.request.init_file is None or self.start is None:
            return _described(self.recipe.init, self.recipe.start)
        found = hashlib.sha256()
        feed(found, *self.start.state_dict().values())
        return {"name": self.request.init_file.name, "sha256": found.hexdigest()}

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that the artefact depends on."""
        return {
            **self.identity,
            "iterations": None if self.request.minutes else self.recipe.iterations,
            "minutes": self.request.minutes,
        }

    @property
    def rounds(self) -> bool:
        """Whether a last part of the run learns values as they will be kept."""
        storage = storage_of(self.request.stored_as)
        return any(grid_of(storage.of(name)) is not None for name in ("images.", "labels."))

    def _is_scheduled(self) -> bool:
        return self.rounds or any(
            one is not None and one.schedule != "constant"
            for one in self.recipe.optimisers.values()
        )

    def _real_start(
        self, selector: Selector, sizes: Sequence[int], key: Key, watch: Watch | None
    ) -> Rows:
        """Return distinct real images, class by class, and labels that the selector gives."""
        if self.coded_start is not None:
            return self.coded_start.rows(sizes)
        return real_rows(selector, self.train, sizes, self.network, self.compute, key, watch)


def _of_objective(objective: Objective) -> dict[str, Any]:
    """Return name and settings; those of subsets are told beside those of what matches them."""
    if isinstance(objective, WeightedSum):
        terms = zip(objective.terms, objective.weights, strict=True)
        told = [{"weight": weight, **_of_objective(term)} for term, weight in terms]
        return {"name": objective.name, "terms": told}
    if isinstance(objective, Nested):
        return {**_of_objective(objective.base), objective.name: settings_of(objective)}
    usual = {item.name: item.default for item in fields(objective)}  # pyright: ignore[reportArgumentType]
    told = settings_of(objective)
    quiet = {name for name in objective.later if told[name] == usual[name]}
    return {"name": objective.name} | {n: v for n, v in told.items() if n not in quiet}


def _described(init: str, selector: Selector | None) -> str | dict[str, Any]:
    settings = settings_of(selector) if selector is not None else {}
    return {"name": init, **settings} if settings else init
