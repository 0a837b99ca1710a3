"""From a request and data to work: every setting concrete, every refusal made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import attar
from attar import compute as computing
from attar.augmentation.variants import read_strategy
from attar.data import SOURCES, LabelledImages, Splits, as_texts, bearing
from attar.data.identity import digest_of
from attar.errors import BadRequest
from attar.experts.folder import folder_of, header_in
from attar.experts.header import Header, inputs_of, shapes_of
from attar.experts.plan import Plan
from attar.experts.request import ExpertsRequest
from attar.experts.store import numbers
from attar.experts.work import Work
from attar.networks import Network, make_for
from attar.networks.paper_names import published_network
from attar.training.call_size import check_batches
from attar.training.cards import DSA, NOT_MIRRORED

# experts that train in one step on a GPU; on a CPU several at once are slower than one by one
TOGETHER_ON_GPU = 8


def make_plan(request: ExpertsRequest, splits: Splits, reading: Mapping[str, Any]) -> Plan:
    """Settle every setting of a request for these data.

    Args:
        request: the options.
        splits: the data; the test part is not used.
        reading: how the source was read: ``resize``, ``classes``, ``per_class`` and ``test_share``,
            where given.

    Raises:
        BadRequest: anything about the request that cannot be carried out.
        ArtefactError: what is in the folder is damaged.
    """
    folder, train = folder_of(request), splits.train
    if train.classes == 1:
        raise BadRequest(
            f"experts are networks that learn to tell classes apart, and {splits.source} has one; "
            "give data of two or more classes"
        )
    there = None if request.overwrite else header_in(folder)
    given = request.network or published_network(train.shape)
    network = make_for(given, train.shape, train.classes)
    together = _together(request, network)
    pixels = network.effort(3.0 * len(train) * request.epochs)
    compute = computing.choose(
        request.device,
        _precision(request, there),
        # several in one step are not compiled
        request.torch_compile if together == 1 else "off",
        pixels=pixels,
        chunk=request.chunk,
    )
    header = Header(
        network=network.name,
        shapes=shapes_of(network),
        epochs=request.epochs,
        storage=request.storage,
        inputs=inputs_of(train.preprocessing),
        training={
            "optimiser": "sgd",
            "lr": request.lr,
            "momentum": request.momentum,
            "weight_decay": request.weight_decay,
            "batch": request.batch,
            "augment": _augmentation(request, train),
            "precision": compute.precision,
            "reading": said(reading),
        },
        data=digest_of(train),
        seed=request.seed,
        provenance={
            "source": splits.source,
            "dataset": train.name,
            "images": len(train),
            "classes": list(train.class_names),
            "attar": attar.__version__,
            "torch": torch.__version__,
            "command": _command(request, splits.source, reading),
        },
    )
    work = Work(
        folder,
        header,
        train,
        network.name if isinstance(given, str) else network,
        request.count,
        together,
        request.device,
        compute.compile,
        request.chunk,
        request.checkpoint_seconds,
    )
    check_batches(network, compute, work.card, len(train), "lower --batch or --resize")
    return Plan(request, splits.source, network, work)


def said(reading: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of reading that were given and bear on the images, as plain values."""
    found = as_texts(bearing(reading))
    if isinstance(found.get("resize"), tuple):
        found["resize"] = list(found["resize"])
    return found


def _command(request: ExpertsRequest, source: str, reading: Mapping[str, Any]) -> str:
    options = said(reading)
    if source.partition(":")[0] in SOURCES:
        return request.command(source, **options)
    return request.call(**options, **({"name": reading["name"]} if reading.get("name") else {}))


def _precision(request: ExpertsRequest, there: Header | None) -> str:
    """Return the precision asked for; left open, that of the experts that are there."""
    if request.precision == "auto" and there is not None and numbers(request.output or Path()):
        return str(there.training.get("precision", "auto"))
    return request.precision


def _together(request: ExpertsRequest, network: Network) -> int:
    """Return how many experts train in one step."""
    alone = network.mixes_samples() or not network.vectorizes
    if request.together is None:
        on_gpu = computing.choose(request.device, "float32", "off").device.type == "cuda"
        return min(request.count, TOGETHER_ON_GPU) if on_gpu and not alone else 1
    if alone and request.together > 1:
        raise BadRequest(
            f"--together {request.together}: networks {network.name} cannot train in one step; "
            "give --together 1"
        )
    return request.together


def _augmentation(request: ExpertsRequest, train: LabelledImages) -> str:
    """Return the augmentation; digits are not mirrored unless that is asked for.

    Rows that are no pictures have none.
    """
    if not train.modality.augments:
        if request.augment not in (None, "none"):
            raise BadRequest(
                f"--augment {request.augment}: there is no augmentation of {train.modality.name}; "
                "leave it out"
            )
        return "none"
    if request.augment is None:
        return DSA.replace("_flip", "") if train.name in NOT_MIRRORED else DSA
    try:
        _, names = read_strategy(request.augment)
    except BadRequest as error:
        raise BadRequest(f"--augment {request.augment}: {error}") from None
    return request.augment if names else "none"
