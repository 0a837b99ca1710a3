"""What cannot be carried out is refused before any class is condensed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from attar.applications.continual.classes import class_order
from attar.applications.continual.request import (
    LEARNING_FREE,
    RANDOM,
    Condensing,
    ContinualRequest,
    options_of_slimming,
)
from attar.applications.sets import Shrinking
from attar.condensing.overrides import settle
from attar.condensing.planning import make_plan
from attar.condensing.suiting import refuse_single
from attar.data import Splits
from attar.errors import BadRequest, unknown
from attar.evaluation.given import refuse_other_steps
from attar.methods import METHODS, Recipe, Task, usual
from attar.methods.slimming import SLIMMER
from attar.slimming.plans import refuse_experts, slimmable_methods
from attar.text import printable
from attar.training import card as find_card


def check(
    request: ContinualRequest,
    condensing: Condensing,
    splits: Splits,
    sizes: Sequence[int],
    reading: Mapping[str, Any],
) -> None:
    """Refuse what some step could not do.

    Args:
        request: the options.
        condensing: how classes are condensed.
        splits: the data.
        sizes: classes of each step.
        reading: how the data were read.

    Raises:
        BadRequest: one class, no test images of a class, a memory that is too small, or a method
            that cannot condense a part of the classes by itself.
    """
    if splits.train.classes == 1:
        raise BadRequest(
            f"{splits.train.name} has one class, and classes arrive one after the other; give data "
            "with several"
        )
    check_test(splits)
    check_method(condensing, request.groups, alone=min(sizes) == 1)
    memory, shape = request.held, splits.train.shape
    if memory.fixed:
        memory.per_class(sum(sizes), shape, request.rounding)
        check_slimming(request, condensing, splits, sizes)
    tried: set[tuple[object, ...]] = set()
    for order in range(request.orders):
        seen = 0
        for names in class_order(splits.train.class_names, sizes, condensing.seed + order):
            seen += len(names)
            ipc = memory.per_class(seen, shape, request.rounding)
            arrived = arriving(splits, names)
            fewest = min(map(len, arrived.train.indices_of_class))
            # others of as many classes are planned alike
            if (like := (len(names), ipc, fewest)) in tried:
                continue
            tried.add(like)
            own = condensing.of(memory, len(names), ipc, None)
            plan = make_plan(own, arrived, reading, experts_later=True, draft=True)
            check_card(condensing, plan.recipe)
            card = common_card(request, condensing, splits) or plan.recipe.card
            lengths = {"--epochs": request.epochs, "--updates": request.updates}
            refuse_other_steps(find_card(card), lengths)


def arriving(splits: Splits, names: Sequence[str]) -> Splits:
    """Return the real images of the classes that arrive, without test images."""
    validation = None if splits.validation is None else splits.validation.of_classes(names)
    return Splits(splits.train.of_classes(names), None, "", splits.source, validation)


def able(alone: bool) -> list[str]:
    """Return the names of the methods that condense a part of the classes by itself.

    Args:
        alone: whether that part may be one class.
    """
    found = []
    for name, method in METHODS.items():
        own = usual(name)
        if method.choose or own.carried or own.objective.follows_experts:
            continue
        if not (alone and _tells_apart(own)):
            found.append(name)
    return found


def _tells_apart(recipe: Recipe) -> bool:
    try:
        refuse_single(recipe, ("one",))
    except BadRequest:
        return True
    return False


def check_method(condensing: Condensing, groups: str, alone: bool) -> None:
    """Refuse a method that cannot condense a part of the classes by itself.

    Args:
        condensing: which method.
        groups: the option that says into how many parts the classes are divided.
        alone: whether a part may be one class.

    Raises:
        BadRequest: naming those that can; or each set would carry a network.
    """
    method = condensing.chosen
    _refuse_carried(condensing)
    if method.choose or condensing.objective is not None:
        # the plan of a step tells
        return
    recipe = method.recipe(Task("cifar10", 10, (3, 32, 32), 10))
    if recipe.objective.follows_experts:
        why = "follows networks trained on all classes, of which a set has a part"
    elif alone and _tells_apart(recipe):
        why = f"learns by telling classes apart, and a set has one class; give fewer --{groups}"
    else:
        return
    raise BadRequest(
        f"--method {method.name}: it {why}. These condense a part by itself: "
        f"{', '.join(able(alone))}"
    )


def _refuse_carried(condensing: Condensing) -> None:
    """Refuse sets that each carry a network of their own."""
    name, asked = condensing.chosen.name, condensing.teacher_storage
    # what decides by itself is asked for sets without
    usually = "" if condensing.chosen.choose else usual(name).carried
    if (usually if asked is None else asked) in ("", "none"):
        return
    given = f"--method {name}" if asked is None else f"--teacher-storage {asked}"
    raise BadRequest(
        f"{given}: each set would carry a network that labels its own classes alone, and here sets "
        "of different classes are trained on together; choose --method confident without "
        "--teacher-storage, which keeps the same images without it"
    )


def check_test(splits: Splits) -> None:
    """Refuse data without test images of every class.

    Raises:
        BadRequest: naming what lacks.
    """
    if splits.test is None:
        raise BadRequest(
            f"{splits.source}: there are no test images, on which networks are "
            "tested; give a source with a test part, or --test-share 0.2"
        )
    tested = torch.bincount(splits.test.labels.cpu(), minlength=splits.test.classes)
    lacking = [n for n, count in zip(splits.test.class_names, tested, strict=True) if not count]
    if lacking:
        raise BadRequest(
            f"{splits.source}: the test part has no image of the class {printable(lacking[0])}, so "
            "that nothing says how well it is known; leave it out by --classes"
        )


def check_slimming(
    request: Shrinking, condensing: Condensing, splits: Splits, sizes: Sequence[int]
) -> None:
    """Refuse a way to shrink that could not be gone.

    Args:
        request: says how.
        condensing: how the sets that shrink are made.
        splits: the data.
        sizes: classes of each set.

    Raises:
        BadRequest: an unknown way, or one that a set cannot go, or a setting that it cannot have.
    """
    how = usual_slimming(request, condensing)
    if condensing.per_class_budget != "equal":
        raise BadRequest(
            "--per-class-budget proportional: a set that shrinks has as many images of every "
            "class; leave it out"
        )
    if how in (LEARNING_FREE, RANDOM):
        return
    if how not in slimmable_methods():
        raise unknown("value of --slimming", how, [LEARNING_FREE, RANDOM, *slimmable_methods()])
    refuse_experts(how)
    task = Task(splits.train.name, 1, splits.train.shape, max(sizes))
    recipe = (SLIMMER if how == SLIMMER.name else METHODS[how]).recipe(task)
    slim = request.slim(1, how, condensing.seed, condensing.network)
    with options_of_slimming():
        recipe = settle(recipe, slim.run_of(1, None), task)
    if min(sizes) == 1 and _tells_apart(recipe):
        raise BadRequest(
            f"--slimming {how}: it learns by telling classes apart, and a set has one class; give "
            f"fewer --{request.groups}, or --slimming learning-free or dm"
        )
    check_card(condensing, recipe)


def usual_slimming(request: Shrinking, condensing: Condensing) -> str:
    """Return how a memory shrinks: what was asked for, or what suits its method."""
    return request.slimming or (RANDOM if condensing.chosen.coreset else SLIMMER.name)


def common_card(request: Shrinking, condensing: Condensing, splits: Splits) -> str | None:
    """Return the card of all steps; None for that of the method.

    Slimmed sets with learnt labels need another one than the method's, and the steps before the
    first slimming are to be compared with those after it.
    """
    how = usual_slimming(request, condensing)
    if condensing.card is not None or not request.held.fixed or how == RANDOM:
        return condensing.card
    train = splits.train
    task = Task(train.name, 1, train.shape, train.classes)
    # components that are left of a set have labels of their own, as those that are learnt
    learns = SLIMMER if how in (LEARNING_FREE, SLIMMER.name) else METHODS[how]
    recipe = learns.recipe(task)
    return recipe.card if recipe.learned_labels and request.steps > 1 else None


def check_card(condensing: Condensing, recipe: Recipe) -> None:
    """Refuse a card that cannot train on the labels that are learnt.

    Raises:
        BadRequest: it cannot.
    """
    if condensing.card is None or not (recipe.learned_labels and recipe.centred_labels):
        return
    if find_card(condensing.card).loss == "cross_entropy":
        raise BadRequest(
            f"--card {condensing.card} trains by cross-entropy, and the labels learnt here are "
            "centred values and no probabilities; leave it out, or give --card frepo"
        )
