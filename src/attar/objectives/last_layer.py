"""The last linear layer of a network: what it is called, where its features are needed."""

from __future__ import annotations

from collections.abc import Collection

from torch import nn

# in networks with a name, in a user's own
_LAYERS = ("classifier", "head")


def last_layer(module: nn.Module) -> nn.Linear | None:
    """Return the last linear layer; None where it is called otherwise or is none."""
    layers = (getattr(module, name, None) for name in _LAYERS)
    return next((one for one in layers if isinstance(one, nn.Linear)), None)


def name_of_last(parameters: Collection[str], inside: str) -> str | None:
    """Return what the names of its parameters begin with; None where there are none.

    Args:
        parameters: names of all.
        inside: what the network is called among them.
    """
    names = (f"{inside}.{layer}" for layer in _LAYERS)
    return next((name for name in names if f"{name}.weight" in parameters), None)
