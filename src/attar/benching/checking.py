"""Everything that can be refused is refused here, before any set is made."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from attar.benching.cells import Making, Measuring
from attar.benching.entries import DatasetEntry
from attar.benching.experts import Promised
from attar.benching.making import Slimming
from attar.benching.pricing import Prices
from attar.benching.suite import Suite
from attar.benching.teachers import check_teacher
from attar.condensing.overrides import settle
from attar.condensing.planning import make_plan
from attar.data import SOURCES, Splits, as_splits
from attar.errors import BadRequest, unknown
from attar.evaluation.teaching import refuse_deaf
from attar.methods import METHODS, Method, Task
from attar.methods.slimming import SLIMMER
from attar.networks import make_for
from attar.slimming.plans import refuse_experts, slimmable_methods
from attar.training import card as find_card

# names that published settings are known by
_NAMED = tuple(name for name, source in SOURCES.items() if not source.argument)


def with_sources(suite: Suite, given: Iterable[str]) -> Suite:
    """Return the suite with datasets read from elsewhere.

    Args:
        suite: at its size.
        given: texts ``NAME=SOURCE``.

    Raises:
        BadRequest: another form, or a dataset that the suite does not have.
    """
    datasets = dict(suite.datasets)
    for text in given:
        name, equals, source = text.partition("=")
        if not equals or not source:
            raise BadRequest(f"--data {text!r}: write NAME=SOURCE, such as cifar10=npz:cifar10.npz")
        if name not in datasets:
            raise unknown(f"dataset of suite {suite.name} (--data)", name, datasets)
        entry: DatasetEntry = datasets[name]
        datasets[name] = entry.model_copy(update={"source": source})
    return suite.model_copy(update={"datasets": datasets})


def check_names(suite: Suite) -> None:
    """Refuse methods, cards and kinds of sources that there are not; reads no data.

    Raises:
        BadRequest: the first of them, with the near names.
    """
    for entry in suite.methods:
        if entry.method not in METHODS:
            raise BadRequest(f"suite {suite.name}: {unknown('method', entry.method, METHODS)}")
        if "card" in entry.options:
            find_card(entry.options["card"])
    asked = suite.evaluation
    if asked.card is not None:
        find_card(asked.card, asked.epochs, asked.updates)
    if asked.teacher is not None:
        _check_card(suite, asked.card)
    for name, entry in suite.datasets.items():
        if entry.source.partition(":")[0] not in SOURCES:
            refused = unknown("source", entry.source, SOURCES)
            raise BadRequest(f"suite {suite.name}: dataset {name}: {refused}")


def _check_card(suite: Suite, card: str | None) -> None:
    """Refuse a teacher without one card for all rows that learns from it."""
    if card is None:
        raise BadRequest(
            f"suite {suite.name}: evaluation: a teacher needs one card for every row; name it, "
            "such as card: rethinkdc"
        )
    try:
        refuse_deaf(find_card(card), "--teacher of the suite")
    except BadRequest as error:
        raise BadRequest(f"suite {suite.name}: evaluation: {error}") from None


def check_against_data(
    makings: Sequence[Making],
    measurings: Sequence[Measuring],
    data_dir: Path | None,
    by_name: bool = True,
    prices: Prices | None = None,
) -> None:
    """Read the data of the work to be done, and refuse what cannot be done with them.

    Args:
        makings: all sets of the datasets concerned.
        measurings: the networks to be trained on them.
        data_dir: where named datasets lie; None for the default.
        by_name: refuse a dataset that is not the one that it is named after.
        prices: told what is seen of every cell.

    Raises:
        BadRequest: data that cannot be read, a budget or option that does not fit, or a network
            that cannot take the images.
    """
    for dataset in dict.fromkeys(one.dataset for one in makings):
        own = [one for one in makings if one.dataset == dataset]
        begin = time.perf_counter()
        splits = _read(own[0], data_dir, by_name)
        if splits.train.classes == 1:
            raise BadRequest(f"{dataset}: it has one class, on which accuracy says nothing")
        prices = Prices() if prices is None else prices
        prices.read(dataset, splits, time.perf_counter() - begin)
        for making in {(one.row, one.budget): one for one in own}.values():
            try:
                _check(making, splits, prices)
            except BadRequest as error:
                raise BadRequest(f"{making.words}: {error}") from None
        taught = [one for one in measurings if one.making.dataset == dataset and one.teacher]
        if taught:
            check_teacher(taught[0], splits.train)
        for name in dict.fromkeys(m.network for m in measurings if m.making.dataset == dataset):
            try:
                make_for(name, splits.train.shape, splits.train.classes)
            except BadRequest as error:
                raise BadRequest(f"{dataset}: {error}") from None


def _check(making: Making, splits: Splits, prices: Prices) -> None:
    """Refuse what cannot be made of the data, or of the set before it."""
    if not isinstance(making, Slimming):
        later = making.experts is not None
        plan = make_plan(
            making.request(),
            splits,
            making.reading,
            experts_later=later,
            draft=True,
            tried=False,
        )
        if making.experts is not None:
            plan.recipe.objective.check(plan.problem(Promised.of(making.experts)))
        else:
            prices.planned(making, plan)
        return
    request = making.slim_request()
    if request.card is not None:
        find_card(request.card)
    if making.learns:
        train, run = splits.train, request.run_of(request.sizes()[0], None)
        task = Task(train.name, run.ipc or 1, train.shape, train.classes)
        recipe = settle(_slimmer(run.method).recipe(task), run, task)
        make_for(recipe.network, train.shape, train.classes)


def _slimmer(name: str) -> Method:
    """Return the method that learns a smaller set."""
    if name == SLIMMER.name:
        return SLIMMER
    if name not in slimmable_methods():
        raise unknown("method (slim)", name, slimmable_methods())
    refuse_experts(name)
    return METHODS[name]


def _read(making: Making, data_dir: Path | None, by_name: bool) -> Splits:
    try:
        splits = as_splits(making.source, data_dir=data_dir, **making.reading)
    except BadRequest as error:
        raise BadRequest(f"dataset {making.dataset}: {error}") from None
    found = splits.train.name
    if by_name and making.dataset in _NAMED and found != making.dataset:
        raise BadRequest(
            f"dataset {making.dataset}: its source calls itself {found!r}, so the settings "
            f"published for {making.dataset} would not be used; name the file or folder "
            f"{making.dataset}, or the dataset {found}"
        )
    return splits
