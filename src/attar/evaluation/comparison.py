"""`attar.evaluate`: an artefact beside its baselines, on real test images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attar import compute as computing
from attar.artefact.artefact import Artefact
from attar.errors import BadRequest
from attar.evaluation.baselines import RANDOM, WHOLE, wanted_baselines
from attar.evaluation.comparing import Asked, Comparison
from attar.evaluation.given import asked_networks, told_apart, with_last
from attar.evaluation.measuring import Measurer, Progress
from attar.evaluation.real import read_real
from attar.evaluation.results import training_pixels
from attar.evaluation.rows import Row
from attar.evaluation.tuning import Tuning
from attar.kinds import check_arguments
from attar.networks import Own, make
from attar.rng import Key
from attar.training import card as find_card
from attar.training.fitting import fitted

__all__ = ["Row", "evaluate"]


def evaluate(
    artefact: Artefact | str | Path,
    data: Any = None,
    *,
    ipc: int | None = None,
    networks: Sequence[str | Own] | str | Own | None = None,
    repeats: int = 5,
    card: str | None = None,
    epochs: int | None = None,
    updates: int | None = None,
    baselines: bool | str | Sequence[str] = False,
    ceiling: bool = False,
    ceiling_epochs: int | None = None,
    scores: bool = False,
    tune: bool = False,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    compile: str = "auto",
    vectorized: int | None = None,
    progress: Progress | None = None,
    estimate: Callable[[float], None] | None = None,
    say: Callable[[str], None] | None = None,
    **reading: Any,
) -> list[Row]:
    """Train fresh networks on an artefact and test them on real images.

    Args:
        artefact: or the path of one.
        data: the real images, as `attar.condense` takes them; by default the source that the
            artefact was made from. Of a pair (train, test), or a source with both parts, the
            test part is tested on, and the baselines are of the training part. Data in one
            piece are test images, all of them, where the artefact was condensed from all of its
            data; where its run cut a share off as a test part (``test_share``), the same cut is
            made again.
        ipc: read the path at this smaller memory in images per class, as `attar.load` does.
        networks: names of networks, or own modules as `attar.condense` takes them; by default
            the one it was made with.
        repeats: how many of each.
        card: name of the evaluation card; by default the artefact's own.
        epochs: another number of epochs than the card's. A set with more images then gets more
            updates, and looks better for it.
        updates: this number of updates for every row, the whole training set included, in place
            of epochs.
        baselines: what to set beside it: ``random`` real images of the same bytes, real images
            of the same bytes that a coreset method (``herding``, ``forgetting``, ``kcenter``)
            selects, and the ``whole`` training set; True for random and whole.
        ceiling: also measure the whole training set, and say which share of its accuracy every
            other row reaches. What was measured once is kept in the folder of the data.
        ceiling_epochs: another number of epochs on the whole training set than a small set's
            number of updates asks for.
        scores: also give the robust scores of DD-Ranking, which need the random and the whole
            row, and training without augmentation.
        tune: first look for the learning rate and the epochs around the card's on held-out
            training images, and use what was found for all rows (see `attar.evaluation.tuning`).
        seed: of the networks.
        device: auto, cpu, cuda or cuda:N.
        precision: auto, float32 or bfloat16.
        compile: auto, on or off.
        vectorized: networks that train in one step; None takes what is faster.
        progress: called with row, network, number of the repeat and its accuracy; with None
            when its training begins.
        estimate: called with the seconds that training will take: before it begins, and again
            with those left after the first row.
        say: called with lines of text about the images that are tested on, and about the
            tuning: its cost first, then every result.
        **reading: ``resize``, ``classes``, ``per_class``, ``test_share``, ``data_dir`` and
            ``watch``, as `attar.load_source` takes them. Without ``data``, the first four are
            by default those of the artefact.

    Returns:
        A row for the artefact, one under hard labels where it has learnt ones, one for the last
        iterate where the file of another one lies beside it, and one for each baseline.

    Raises:
        BadRequest: no artefact, no data, classes or image sizes that do not fit, an unknown
            card, network or baseline, no test images but those that the artefact was made from,
            or baselines without training images.

    Example:
        >>> attar.evaluate("digits.safetensors", repeats=3)[0].results[0].mean  # doctest: +SKIP
        93.1
    """
    check_arguments(
        evaluate,
        {
            "ipc": ipc,
            "repeats": repeats,
            "card": card,
            "epochs": epochs,
            "ceiling": ceiling,
            "ceiling_epochs": ceiling_epochs,
            "scores": scores,
            "tune": tune,
            "seed": seed,
            "device": device,
            "vectorized": vectorized,
        },
    )
    wanted = _all_wanted(baselines, ceiling or ceiling_epochs is not None, scores)
    if ceiling_epochs is not None and ceiling_epochs < 1:
        raise BadRequest(f"--ceiling-epochs {ceiling_epochs}: at least 1 is needed")
    if repeats < 1:
        raise BadRequest(f"--repeats {repeats}: at least one network is needed")
    if vectorized is not None and vectorized < 1:
        raise BadRequest(f"--vectorized {vectorized}: at least one network per step")
    artefact, last = with_last(artefact, ipc)
    chosen = find_card(card or artefact.card.settings.get("card", "dsa-1000"), epochs, updates)
    given = asked_networks(artefact, networks or chosen.network_for(artefact.card.shape[1:]))
    channels, height, width = artefact.card.shape
    classes = len(artefact.card.class_names)
    # refused before the data are read, which may take long
    built = told_apart([make(each, channels, (height, width), classes) for each in given])
    real = read_real(artefact, data, **reading)
    train, test = real.train, real.test
    if train is None:
        _refuse_without_training_images(wanted, tune)
    if say is not None:
        say(f"tested on {len(test):,} images of {real.name} ({real.note})")
    dataset = artefact.card.provenance.get("dataset", real.name)
    chosen = fitted(chosen, artefact, dataset)
    # one choice for all rows, so that they differ in nothing but the images
    compute = computing.choose(
        device,
        precision,
        compile,
        pixels=training_pixels(len(artefact), test.shape, chosen, repeats * len(built)),
    )
    note = ""
    if tune and train is not None:
        tuning = Tuning(dataset, built, compute, seed, vectorized, say)
        found = tuning.tuned(chosen, artefact, train, real.validation)
        chosen, note = found.card, found.note
    key = Key(seed).fold("evaluate")
    measurer = Measurer(test, built, repeats, dataset, compute, key, vectorized, progress)
    asked = Asked(wanted, chosen, ceiling_epochs, seed, scores, reading.get("data_dir"), note)
    run = Comparison(artefact, last, train, asked, measurer, estimate)
    return run.rows()


def _refuse_without_training_images(wanted: Sequence[str], tune: bool) -> None:
    """Refuse what needs real training images.

    Raises:
        BadRequest: any of it is wanted.
    """
    if not wanted and not tune:
        return
    what = f"--baselines {','.join(wanted)}" if wanted else "--tune"
    raise BadRequest(
        f"{what}: needs real training images, and the data are test images alone; give a source "
        "with both parts, or from Python a pair (train, test)"
    )


def _all_wanted(
    baselines: bool | str | Sequence[str], ceiling: bool, scores: bool
) -> tuple[str, ...]:
    """Return the baselines asked for and those that other options need, in their order."""
    names = wanted_baselines(baselines)
    if scores and RANDOM not in names:
        names = (RANDOM, *names)
    if (ceiling or scores) and WHOLE not in names:
        names = (*names, WHOLE)
    return tuple(name for name in names if name != WHOLE) + (WHOLE,) * (WHOLE in names)
