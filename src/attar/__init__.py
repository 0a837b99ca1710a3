"""Attar: from a large labelled image set to a few kilobytes that train nearly as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attar.lazy import importer

if TYPE_CHECKING:
    from attar.artefact.artefact import Artefact
    from attar.artefact.loading import load
    from attar.artefact.merging import merge
    from attar.condensing.condense import condense
    from attar.condensing.listening import Listener
    from attar.condensing.request import Request
    from attar.data import LabelledImages, from_dataset, from_tensors, load_source
    from attar.errors import ArtefactError, AttarError, BadRequest, RunFailed
    from attar.evaluation.comparison import evaluate
    from attar.experts.making import train_experts
    from attar.importing.importer import import_artefact
    from attar.methods import Method, Task
    from attar.methods.recipe import Recipe
    from attar.optimisers import Optimiser
    from attar.registry import register
    from attar.slimming.slimming import slim

__version__ = "0.1.0"

# torch takes seconds to import, so each name is imported when it is first used
_HOMES = {
    "Artefact": "attar.artefact.artefact",
    "ArtefactError": "attar.errors",
    "AttarError": "attar.errors",
    "BadRequest": "attar.errors",
    "LabelledImages": "attar.data",
    "Method": "attar.methods",
    "Optimiser": "attar.optimisers",
    "Recipe": "attar.methods.recipe",
    "Task": "attar.methods",
    "register": "attar.registry",
    "Listener": "attar.condensing.listening",
    "Request": "attar.condensing.request",
    "RunFailed": "attar.errors",
    "condense": "attar.condensing.condense",
    "evaluate": "attar.evaluation.comparison",
    "from_dataset": "attar.data",
    "from_tensors": "attar.data",
    "import_artefact": "attar.importing.importer",
    "load": "attar.artefact.loading",
    "merge": "attar.artefact.merging",
    "load_source": "attar.data",
    "slim": "attar.slimming.slimming",
    "train_experts": "attar.experts.making",
}

__all__ = [
    "Artefact",
    "ArtefactError",
    "AttarError",
    "BadRequest",
    "LabelledImages",
    "Listener",
    "Method",
    "Optimiser",
    "Recipe",
    "Request",
    "RunFailed",
    "Task",
    "condense",
    "evaluate",
    "from_dataset",
    "from_tensors",
    "import_artefact",
    "load",
    "load_source",
    "merge",
    "register",
    "slim",
    "train_experts",
]


__getattr__ = importer(__name__, _HOMES)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
