"""Attar: from a large labelled image set to a few kilobytes that train nearly as well."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from attar.lazy import importer
from attar.renaming import old_names

if TYPE_CHECKING:
    from attar import (
        applications,
        artefact,
        augmentation,
        benching,
        budget,
        condensing,
        coresets,
        data,
        errors,
        evaluation,
        experts,
        importing,
        methods,
        networks,
        objectives,
        optimisers,
        pictures,
        published,
        report,
        slimming,
        synthetic,
        testing,
        training,
    )
    from attar.applications.auditing.audit import audit
    from attar.applications.continual.running import continual
    from attar.applications.federated.running import federated
    from attar.applications.ranking.rank import rank
    from attar.artefact.artefact import Artefact
    from attar.artefact.loading import load
    from attar.artefact.merging import merge
    from attar.condensing.condense import condense
    from attar.condensing.request import Request
    from attar.condensing.telling import Callback
    from attar.data import LabelledImages, from_dataset, from_tensors, load_source
    from attar.errors import ArtefactError, AttarError, BadRequest, RunFailed
    from attar.evaluation.comparison import evaluate
    from attar.evaluation.telling import EvaluationCallback
    from attar.experts.making import train_experts
    from attar.face.explaining import explain
    from attar.face.files import describe, export
    from attar.face.listing import (
        list_cards,
        list_methods,
        list_networks,
        list_recipes,
        list_sources,
        list_tables,
    )
    from attar.face.pages import write_report
    from attar.face.relabelling import relabel
    from attar.face.suites import bench
    from attar.face.teacher import teacher_of
    from attar.importing.importer import import_artefact
    from attar.methods import Method, Task
    from attar.methods.recipe import Recipe
    from attar.optimisers import Optimiser
    from attar.pictures.drawing import draw
    from attar.registry import register
    from attar.sharing.pushing import push
    from attar.slimming.slimming import slim

try:
    __version__ = version("attar")
except PackageNotFoundError:  # a source tree that was never installed
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
    "push": "attar.sharing.pushing",
    "rank": "attar.applications.ranking.rank",
    "register": "attar.registry",
    "relabel": "attar.face.relabelling",
    "Callback": "attar.condensing.telling",
    "Request": "attar.condensing.request",
    "RunFailed": "attar.errors",
    "condense": "attar.condensing.condense",
    "continual": "attar.applications.continual.running",
    "evaluate": "attar.evaluation.comparison",
    "federated": "attar.applications.federated.running",
    "from_dataset": "attar.data",
    "from_tensors": "attar.data",
    "import_artefact": "attar.importing.importer",
    "load": "attar.artefact.loading",
    "merge": "attar.artefact.merging",
    "load_source": "attar.data",
    "slim": "attar.slimming.slimming",
    "teacher_of": "attar.face.teacher",
    "train_experts": "attar.experts.making",
    "EvaluationCallback": "attar.evaluation.telling",
    "audit": "attar.applications.auditing.audit",
    "bench": "attar.face.suites",
    "describe": "attar.face.files",
    "draw": "attar.pictures.drawing",
    "explain": "attar.face.explaining",
    "export": "attar.face.files",
    "list_cards": "attar.face.listing",
    "list_methods": "attar.face.listing",
    "list_networks": "attar.face.listing",
    "list_recipes": "attar.face.listing",
    "list_sources": "attar.face.listing",
    "list_tables": "attar.face.listing",
    "write_report": "attar.face.pages",
}

# parts that are attributes after ``import attar``
_PARTS = (
    *("applications", "artefact", "augmentation", "benching", "budget", "condensing", "coresets"),
    "data",
    *("errors", "evaluation", "experts", "importing", "methods", "networks", "objectives"),
    *("optimisers", "pictures", "published", "report", "slimming", "synthetic", "testing"),
    "training",
)

__all__ = [
    "Artefact",
    "ArtefactError",
    "AttarError",
    "BadRequest",
    "Callback",
    "EvaluationCallback",
    "LabelledImages",
    "Method",
    "Optimiser",
    "Recipe",
    "Request",
    "RunFailed",
    "Task",
    "audit",
    "bench",
    "condense",
    "continual",
    "describe",
    "draw",
    "evaluate",
    "explain",
    "export",
    "federated",
    "from_dataset",
    "from_tensors",
    "import_artefact",
    "list_cards",
    "list_methods",
    "list_networks",
    "list_recipes",
    "list_sources",
    "list_tables",
    "load",
    "load_source",
    "merge",
    "push",
    "rank",
    "register",
    "relabel",
    "slim",
    "teacher_of",
    "train_experts",
    "write_report",
]


__getattr__ = old_names(
    __name__, {"Listener": "attar.Callback"}, importer(__name__, _HOMES, _PARTS)
)


def __dir__() -> list[str]:
    return [*__all__, *_PARTS, "__version__"]
