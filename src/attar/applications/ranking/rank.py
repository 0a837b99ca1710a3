"""`attar.rank`: whether candidates come in the same order when they train on a condensed set."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Unpack

from attar import compute as computing
from attar.applications.ranking.correlation import kendall, spearman
from attar.applications.ranking.measured import Measured, opened
from attar.applications.ranking.results import Candidate, Proxy, Ranking
from attar.artefact.artefact import Artefact
from attar.artefact.fingerprint import fingerprint
from attar.artefact.loading import load
from attar.data import LabelledImages
from attar.errors import BadRequest
from attar.evaluation.baselines import RANDOM, images_that_fit, random_set
from attar.evaluation.ceiling import whole_set
from attar.evaluation.coded import coded_set
from attar.evaluation.comparing import as_carried
from attar.evaluation.forecast import Forecast, Work
from attar.evaluation.given import asked_networks, refuse_other_steps, refuse_single, told_apart
from attar.evaluation.measuring import Measurer
from attar.evaluation.real import read_real
from attar.evaluation.results import training_effort
from attar.evaluation.rows import TrainingSet
from attar.kinds import check_arguments
from attar.methods import CODED
from attar.networks import OWN, Network, Own, make_for
from attar.options import ReadingOptions
from attar.rng import Key
from attar.teachers.carried import teacher_under
from attar.training import EvaluationCard
from attar.training import card as find_card
from attar.training.fitting import fitted

# real images of the same bytes that may stand beside the set
BESIDE = (RANDOM, CODED)


def rank(
    artefact: Artefact | str | Path,
    data: Any = None,
    *,
    networks: Sequence[str | Own] | str | Own | None = None,
    lrs: Sequence[float] | float = (),
    repeats: int = 1,
    beside: Sequence[str] | str = (RANDOM,),
    card: str | None = None,
    epochs: int | None = None,
    updates: int | None = None,
    whole_epochs: int | None = None,
    output: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    seed: int = 0,
    device: str = "auto",
    said: Callable[[str], None] = lambda line: None,
    **reading: Unpack[ReadingOptions],
) -> Ranking:
    """Train candidates on a condensed set and on the whole, and compare their order.

    Args:
        artefact: or the path of one.
        data: the real images with a training and a test part, as `attar.evaluate` takes them.
        networks: candidates: names, ``timm:`` ones too, or own modules; the network that the set
            was made with where only learning rates are compared.
        lrs: learning rates, or one; each network is then a candidate at each of them.
        repeats: networks that are trained of each candidate, their accuracies averaged.
        beside: real images of the same bytes to set beside it: ``random``, ``coded``.
        card: name of the evaluation card; by default the artefact's own.
        epochs: another number than the card's, on the small sets.
        updates: in their place, on every set.
        whole_epochs: on the whole training set; by default as `attar.evaluate` trains on it.
        output: a ``.json`` file that keeps what each candidate reached.
        resume: go on with what the file has.
        overwrite: replace the file.
        seed: of the networks and the real images.
        device: auto, cpu, cuda, cuda:N or mps.
        said: told what it will cost, and how it goes.
        **reading: how the data are read, as `attar.load_source` takes it.

    Raises:
        BadRequest: fewer than two candidates, data that are not the set's, no training or no test
            part, or a file that keeps something else.

    Example:
        >>> found = attar.rank("digits.safetensors", networks=["mlp", "convnet3"])  # doctest: +SKIP
        >>> found.proxies[0].kendall.value  # doctest: +SKIP
        1.0
    """
    counts = {"repeats": repeats, "epochs": epochs, "updates": updates, "seed": seed}
    check_arguments(rank, {**counts, "whole_epochs": whole_epochs, "card": card, "output": output})
    names = _beside((beside,) if isinstance(beside, str) else beside)
    lrs = (lrs,) if isinstance(lrs, int | float) else lrs
    if repeats < 1:
        raise BadRequest(f"--repeats {repeats}: at least one network is needed")
    if whole_epochs is not None and whole_epochs < 1:
        raise BadRequest(f"--whole-epochs {whole_epochs}: at least 1 is needed")
    if not isinstance(artefact, Artefact):
        artefact = load(artefact)
    header = artefact.header
    refuse_single(header.class_names)
    chosen = find_card(card or header.card, epochs, updates)
    if chosen.kernel:
        raise BadRequest(
            f"--card {chosen.name}: no network is trained under it, so there is none to rank; name "
            "another, such as --card dsa-1000"
        )
    refuse_other_steps(chosen, {"--lrs": lrs or None, "--epochs": epochs, "--updates": updates})
    usual = chosen.network_for(header.shape[1:])
    candidates = _candidates(artefact, networks or usual, lrs)
    if output is not None and any(one.name.partition(":")[0] == OWN for one in candidates):
        raise BadRequest(
            "output: what a module of your own reaches cannot be kept, since its name does not say "
            "what it computes; leave output out"
        )
    real = read_real(artefact, data, **reading)
    if real.train is None:
        raise BadRequest(
            "attar rank needs training and test images, and --data are in one piece; give a "
            "source with both parts, or from Python a pair (train, test)"
        )
    dataset = header.provenance.get("dataset", real.name)
    chosen = fitted(chosen, artefact, dataset)
    train = real.train
    tried = [one.network for one in candidates]
    pixels = training_effort(len(artefact), chosen, repeats, tried)
    compute = computing.choose(device, "auto", "auto", pixels=pixels)
    inside = teacher_under(chosen, artefact, compute)
    own = as_carried(artefact, chosen, inside)
    sets = [own, *_beside_it(artefact, train, chosen, names, candidates[0].network, seed)]
    small = train.drawn(images_that_fit(train, artefact.totals.paper))
    sets.append(whole_set(train, chosen, small, whole_epochs))
    kinds = list(dict.fromkeys(one.network for one in candidates))
    key = Key(seed).fold("rank")
    measurer = Measurer(real.test, kinds, repeats, dataset, compute, key)
    setup = {
        "set": fingerprint(_as_data(artefact, train)),
        "data": [fingerprint(train), fingerprint(real.test)],
        "cards": [one.card.describe() for one in sets],
        "sets": [one.name for one in sets],
        "repeats": repeats,
        "seed": seed,
        "compute": {"device": compute.device.type, "precision": compute.precision},
        **({} if inside is None else {"teacher": inside.digest}),
    }
    kept = opened(None if output is None else Path(output), setup, resume, overwrite)
    _check(measurer, sets, candidates, kept)
    _tell_cost(measurer, sets, candidates, kept, said)
    for given in sets:
        for one in candidates:
            _measure(measurer, given, one, kept, said)
    return _ranked(sets, candidates, kept, repeats)


def _beside_it(
    artefact: Artefact,
    train: LabelledImages,
    card: EvaluationCard,
    beside: Sequence[str],
    network: Network,
    seed: int,
) -> list[TrainingSet]:
    """Return real images of the same bytes."""
    size, sets = artefact.totals.paper, list[TrainingSet]()
    if RANDOM in beside:
        unequal = not artefact.header.layout.is_equal
        sets.append(random_set(train, size, card, seed, unequal=unequal))
    if CODED in beside:
        sets.append(coded_set(train, size, card, network, seed))
    return sets


def _beside(names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in BESIDE:
            raise BadRequest(f"--beside {name}: random or coded, or both with a comma between")
    return tuple(names)


def _candidates(
    artefact: Artefact, networks: Sequence[str | Own] | str | Own | None, lrs: Sequence[float]
) -> list[Candidate]:
    """Return what is ranked, each once.

    Raises:
        BadRequest: fewer than two, or a learning rate that is none.
    """
    if isinstance(lrs, str) or not all(isinstance(lr, int | float) for lr in lrs):
        raise BadRequest(f"lrs {lrs!r}: a list of numbers is needed, such as [0.003, 0.01]")
    for lr in lrs:
        if not 0 < lr < float("inf"):
            raise BadRequest(f"--lrs {lr:g}: positive numbers are needed")
    header = artefact.header
    named = asked_networks(artefact, networks)
    classes = len(header.class_names)
    built = told_apart([make_for(one, header.shape, classes) for one in named])
    rates: list[float | None] = list(dict.fromkeys(lrs)) or [None]
    found = [Candidate(network, lr) for network in built for lr in rates]
    if len(found) < 2:
        raise BadRequest(
            f"there is one candidate, {found[0].name}, and an order takes two or more: name "
            "networks (--networks convnet3,mlp) or learning rates (--lrs 0.003,0.01,0.03)"
        )
    return found


def _as_data(artefact: Artefact, train: LabelledImages) -> LabelledImages:
    labels = artefact.synthetic.class_of_row
    targets = artefact.labels if artefact.labels.ndim > 1 else None
    return dataclasses.replace(
        train, images=artefact.images, labels=labels, prepared=True, targets=targets
    )


def _check(
    measurer: Measurer, sets: Sequence[TrainingSet], candidates: Sequence[Candidate], kept: Measured
) -> None:
    """Refuse batches that memory cannot hold, of what is yet to be trained."""
    for given in sets:
        for one in candidates:
            if kept.get(given.name, one.name) is None:
                measurer.only(one.network).check(given)


def _tell_cost(
    measurer: Measurer,
    sets: Sequence[TrainingSet],
    candidates: Sequence[Candidate],
    kept: Measured,
    said: Callable[[str], None],
) -> None:
    forecast = Forecast(measurer)
    missing = [
        Work(given, one.network, measurer.repeats)
        for given in sets
        for one in candidates
        if kept.get(given.name, one.name) is None
    ]
    if missing:
        said(
            f"{len(candidates)} candidates on {len(sets)} sets, {len(missing)} trainings to do: "
            f"about {forecast.seconds(missing) / 60:.1f} minutes"
        )


def _measure(
    measurer: Measurer,
    given: TrainingSet,
    candidate: Candidate,
    kept: Measured,
    said: Callable[[str], None],
) -> None:
    """Train a candidate on a set, unless that is known."""
    if kept.get(given.name, candidate.name) is not None:
        return
    card = given.card if candidate.lr is None else given.card.with_lr(candidate.lr)
    began = time.perf_counter()
    (found,) = measurer.only(candidate.network).measure(dataclasses.replace(given, card=card))
    seconds = time.perf_counter() - began
    kept.add(given.name, candidate.name, found.accuracies, seconds)
    said(f"{given.name}: {candidate.name}: {found.mean:.2f} % in {seconds:.1f} s")


def _ranked(
    sets: Sequence[TrainingSet], candidates: Sequence[Candidate], kept: Measured, repeats: int
) -> Ranking:
    names = [one.name for one in candidates]
    table = {given.name: [kept.mean(given.name, name) for name in names] for given in sets}
    truth = table[sets[-1].name]

    def proxy(given: TrainingSet) -> Proxy:
        own = table[given.name]
        first = max(range(len(own)), key=lambda place: own[place])
        return Proxy(
            given.name,
            given.bytes,
            tuple(own),
            sum(kept.seconds(given.name, name) for name in names),
            kendall(own, truth),
            spearman(own, truth),
            max(truth) - truth[first],
        )

    *small, whole = map(proxy, sets)
    return Ranking(tuple(names), whole, tuple(small), repeats)
