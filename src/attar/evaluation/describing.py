"""What an evaluation card fixes, in words."""

from __future__ import annotations

from attar.training.evaluation_card import EvaluationCard

_SCHEDULES = {
    "drop": ", a tenth of it in the second half",
    "steps": ", a fifth of it after two thirds and again after five sixths",
    "constant": "",
    "cosine": ", down to 0 along a cosine",
    "half_cosine": ", down to a half along a cosine, an epoch at a time",
    "warm_cosine": " after 500 updates of warming up, then down to a hundredth",
}
_SHORT = {
    "drop": " ÷10 halfway",
    "steps": " ÷5 twice",
    "constant": "",
    "cosine": ", cosine",
    "half_cosine": ", half a cosine",
    "warm_cosine": " warmed up, then cosine",
}
_LOSSES = {
    "cross_entropy": "cross-entropy",
    "squared": "squared error of centred labels",
    "kl": "divergence from what a teacher says, both at a temperature of",
}
_OPTIMISERS = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}


def _counted(updates: tuple[tuple[int, int], ...]) -> str:
    (least, few), (most, many) = updates[0], updates[-1]
    if len(updates) == 1:
        return f"{few:,} updates"
    return f"{few:,} updates for {least} images, {many:,} for {most:,}, by a table"


def facts(card: EvaluationCard, dataset: str) -> list[tuple[str, str]]:
    """Return what the card fixes on a dataset by name, as names and values for people."""
    if card.kernel:
        return [
            ("Predictor", f"regression with the {card.kernel.upper()} of the infinite network"),
            ("Ridge", f"{card.ridge:g} of the mean of its diagonal"),
            ("Loss", _LOSSES[card.loss]),
        ]
    optimiser = f"learning rate {_rate(card)}{_SCHEDULES[card.schedule]}"
    if card.learnt_lr:
        optimiser = f"learnt {optimiser.replace('rate', 'rate, else', 1)}"
    how = f"{_OPTIMISERS[card.optimiser]}, {optimiser}"
    if card.optimiser == "sgd":
        how = f"SGD, {optimiser}, momentum {card.momentum:g}"
    counts = f"{card.epochs:,}" if card.epochs else _counted(card.updates)
    length = f"{counts}, batches of {card.batch}"
    if card.learnt_steps:
        length, how = "as learnt with the set", "gradient descent, each step at a learnt size"
    return [
        ("Epochs", length),
        ("Optimiser", how),
        ("Weight decay", f"{card.weight_decay:g}"),
        ("Loss", _LOSSES[card.loss] + (f" {card.temperature:g}" if card.loss == "kl" else "")),
        ("Augmentation", card.strategy(dataset).replace(":", ": ").replace("_", ", ")),
        *([("Mixing", f"CutMix in {card.mixed:.0%} of batches")] * (card.mixing != "none")),
        *([("Network", card.networks[0][1])] if card.networks else []),
    ]


def _rate(card: EvaluationCard) -> str:
    return f"{card.lr:g} of the greatest stable one" if card.stable else f"{card.lr:g}"


def fixed(card: EvaluationCard) -> str:
    """Whose card it is and what it fixes, in one line."""
    whose = card.summary.partition(":")[0]
    if card.learnt_steps:
        return f"{whose}: the learnt steps, each at its learnt size, no augmentation"
    if card.kernel:
        return (
            f"{whose}: no training, regression with the {card.kernel.upper()} of the infinite "
            f"network, ridge {card.ridge:g}"
        )
    length = f"{card.epochs} epochs"
    if card.updates:
        counts = [many for _, many in card.updates]
        few = "" if len(counts) == 1 else f"{min(counts)} to "
        length = f"{few}{max(counts)} updates"
    rate = f"learnt rate or {card.lr:g}" if card.learnt_lr else _rate(card)
    way, colon, _ = card.augment.partition(":")
    kind = {"none": "no", "dc": "dc"}.get(card.augment, way if colon else "dsa")
    if card.learnt_updates:
        length = f"learnt updates or {card.fixed_updates}"
    parts = [
        length,
        f"batch {card.batch}",
        f"{_OPTIMISERS[card.optimiser]} {rate}" + _SHORT[card.schedule],
        *(["no weight decay"] if card.weight_decay == 0 else []),
        f"{kind} augmentation",
        *(["CutMix"] if card.mixing != "none" else []),
        *(["squared error"] if card.loss == "squared" else []),
        *([f"teacher at {card.temperature:g}"] if card.loss == "kl" else []),
        *(["own network"] if card.networks else []),
    ]
    return f"{whose}: {', '.join(parts)}"
