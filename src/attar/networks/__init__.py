"""Networks to condense with and to evaluate on: by name, or a user's own module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attar.lazy import importer

if TYPE_CHECKING:
    from attar.networks.convnet import ConvNet
    from attar.networks.families import Family
    from attar.networks.names import build, check_name, make, make_for, outlined_for
    from attar.networks.own import Own, from_module
    from attar.networks.registry import OWN, Embedder, Network

__all__ = [
    "OWN",
    "ConvNet",
    "Embedder",
    "Family",
    "Network",
    "Own",
    "build",
    "check_name",
    "from_module",
    "make",
    "make_for",
    "outlined_for",
]

# `attar networks` lists the families before torch could be imported
_HOMES = {
    "OWN": "attar.networks.registry",
    "ConvNet": "attar.networks.convnet",
    "Embedder": "attar.networks.registry",
    "Family": "attar.networks.families",
    "Network": "attar.networks.registry",
    "Own": "attar.networks.own",
    "build": "attar.networks.names",
    "check_name": "attar.networks.names",
    "from_module": "attar.networks.own",
    "make": "attar.networks.names",
    "make_for": "attar.networks.names",
    "outlined_for": "attar.networks.names",
}
__getattr__ = importer(__name__, _HOMES)
