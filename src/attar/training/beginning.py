"""From which draw each network of an evaluation begins."""

from __future__ import annotations

from attar.rng import Key


def evaluation_key(seed: int = 0) -> Key:
    """Return the key of an evaluation's networks, orders and augmentations."""
    return Key(seed).fold("evaluate")


def repeat_key(key: Key, network: str, repeat: int) -> Key:
    """Return the key of one training.

    Args:
        key: of the evaluation.
        network: its name.
        repeat: its number, from 0.
    """
    return key.fold(network, repeat)
