"""`attar.relabel`: soft labels for a set that is there, its images left as they are stored."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import attar
from attar import threads
from attar.artefact.artefact import Artefact
from attar.artefact.fingerprint import fingerprint
from attar.artefact.loading import load
from attar.budget import LABELS, Budget, format_bytes
from attar.condensing.checkpoint import compare_identity
from attar.condensing.condense import writing
from attar.condensing.paths import Paths
from attar.data import LabelledImages
from attar.data.reading import Watch
from attar.errors import BadRequest, unknown
from attar.evaluation.real import read_splits, with_preprocessing
from attar.face.labels import WAYS, Work, network_of, recipe_of
from attar.face.relabel_keeping import Keeping
from attar.face.relabel_request import RelabelRequest
from attar.networks import Network
from attar.options import request_and_reading
from attar.renaming import keywords
from attar.storage import (
    STORAGES,
    Apart,
    Storage,
    refusals_name,
    sizes_of,
    storage_of,
    storage_text,
)
from attar.storage.coded_pictures import CodedPictures
from attar.synthetic import Synthetic, check_storage, content_of
from attar.tensors import feed
from attar.training import card as find_card


@keywords(bytes="max_bytes", compile="torch_compile")
def relabel(
    artefact: Artefact | str | Path,
    data: Any = None,
    *,
    watch: Watch | None = None,
    **options: Any,
) -> Artefact:
    """Give a set soft labels, learnt from the real images.

    The images keep the bytes that they are stored in, whatever the form and the storage. Labels
    that the set has are replaced. They are K values for each image (in a set of ordered components,
    for each component): with ``by="networks"`` the mean of the probabilities that networks trained
    on the real images give, minus 1/K where the set's card compares label values by squared error;
    with ``by="regression"`` those of FRePo, about 0 on average, for its card. With ``output``, a
    checkpoint beside it holds how far the work is, and ``resume`` goes on from there, to the same
    bytes.

    Args:
        artefact: or the path of one, of two classes or more; left as it is.
        data: the real images, as `attar.evaluate` takes them; by default the source that the set
            was made from. Their training part alone is learnt from.
        watch: told what is done, with how many of them, and of how many.
        **options: the fields of `attar.face.relabel_request.RelabelRequest`, such as
            ``labels="int8"``, ``max_bytes``, ``teachers`` or ``output``, and those of reading the
            data (see `attar.load_source`).

    Raises:
        BadRequest: one class alone, data of another shape or other classes, labels that do not fit
            into ``max_bytes``, or a setting out of range.
        ArtefactError: the file is no artefact.
        RunFailed: a network diverged, the work was interrupted, or the file could not be written.

    Example:
        >>> attar.relabel("set.safetensors", labels="int8").nbytes  # doctest: +SKIP
        3220
    """
    asked, reading = request_and_reading(RelabelRequest, options)
    asked.check_output(Path(artefact) if isinstance(artefact, str | Path) else None)
    own = artefact if isinstance(artefact, Artefact) else load(artefact)
    with refusals_name("--labels"):
        storage = _storage(own, asked.labels)
        _refuse(own, storage, asked.most)
    name = "SET.safetensors" if isinstance(artefact, Artefact) else Path(artefact).name
    with writing(asked), threads.using(asked.threads):
        return _carried_out(own, name, data, asked, reading, watch)


def _carried_out(
    own: Artefact,
    name: str,
    data: Any,
    asked: RelabelRequest,
    reading: dict[str, Any],
    watch: Watch | None,
) -> Artefact:
    """Label a set of this name, or return what is labelled already where that is resumed."""
    recipe = recipe_of(asked, own)
    network = network_of(asked, recipe, own)
    splits = read_splits(own, data, watch=watch, **reading)
    train = with_preprocessing(splits.train, own)
    work = WAYS[asked.by](own, train, recipe, network, asked)
    identity = _identity(own, train, network, asked, work)
    done = _done(asked, identity)
    if done is not None:
        return done
    keeping = Keeping(asked, identity, work.kept, watch)
    with keeping.heeding():
        found = work.carry_out(keeping.watch, keeping.passed)
    told = {
        "by": asked.by,
        "network": network.name,
        "seed": asked.seed,
        "source": splits.source,
        "before": own.header.provenance.get("command"),
        "identity": identity,
    }
    command = asked.command(name, splits.source, reading)
    values, card = _carded(own, found, asked.by)
    told = {"relabelled": told, "command": command}
    made = _relabelled(own, values, _storage(own, asked.labels), asked.most, card, told)
    if asked.output is not None:
        made.save(asked.output)
        keeping.remove()
    return made


def _identity(
    own: Artefact, train: LabelledImages, network: Network, asked: RelabelRequest, work: Work
) -> dict[str, Any]:
    """Return what two relabellings must share to have the same result, step by step."""
    values = own.synthetic.state_dict()
    found = hashlib.sha256()
    feed(found, *(values[name] for name in sorted(values)))
    return {
        "by": asked.by,
        "artefact": found.hexdigest(),
        "labels": asked.labels,
        "bytes": asked.most,
        "network": network.name,
        "seed": asked.seed,
        **work.facts,
        "data": fingerprint(train),
        "compute": work.kept.compute.describe(),
    }


def _done(asked: RelabelRequest, identity: dict[str, Any]) -> Artefact | None:
    """Return the output of a relabelling that is complete and to be resumed; or None."""
    path = asked.output
    if not (asked.resume and path and path.exists()) or Paths(path).checkpoint.exists():
        return None
    done = load(path)
    told = done.header.provenance.get("relabelled")
    saved = told.get("identity") if isinstance(told, dict) else None
    if not isinstance(saved, dict):
        raise BadRequest(
            f"--resume: {path} does not tell what it was relabelled with; --overwrite to start "
            "again, or choose another name"
        )
    compare_identity(saved, identity, path)
    return done


def _storage(artefact: Artefact, labels: str) -> Storage:
    """Return the storage of the set once it has labels kept as ``labels``."""
    now = artefact.storage
    images = now.images if isinstance(now, Apart) else now
    both = Apart(images, _kept_as(labels))
    return images if storage_text(images) == storage_text(both.labels) else both


def _kept_as(labels: str) -> Storage:
    """Return the storage that ``--labels`` names."""
    fitting = [name for name, one in STORAGES.items() if not issubclass(one, CodedPictures)]
    name = labels.partition(":")[0]
    if name not in fitting:
        raise unknown("value of --labels", name, fitting)
    return storage_of(labels).settled()


def _shapes(artefact: Artefact) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors of the labels, by name."""
    header, form = artefact.header, artefact.synthetic.parametrization
    shapes = form.shapes(header.layout, learned_labels=True)
    return {name: shape for name, shape in shapes.items() if name.startswith(LABELS)}


def _carded(artefact: Artefact, labels: Tensor, by: str) -> tuple[Tensor, dict[str, str]]:
    """Return labels as the card of the set compares them, and the card where it is another."""
    card = artefact.header.settings.get("card")
    squared = card is not None and find_card(card).loss == "squared"
    if by == "regression":
        return labels, {} if squared else {"card": "frepo"}
    return labels - 1 / labels.shape[1] if squared else labels, {}


def _refuse(artefact: Artefact, storage: Storage, most: int | None) -> None:
    """Refuse a set that cannot be given such labels, before anything is read."""
    header = artefact.header
    if len(header.class_names) == 1:
        raise BadRequest(
            f"relabel: there is one class, {header.class_names[0]!r}, and labels say which of "
            "several an image is of; give a set of two classes or more"
        )
    check_storage(storage, header.layout, artefact.synthetic.parametrization)
    if most is None:
        return
    sizes = {name: storage.planned(name, shape) for name, shape in _shapes(artefact).items()}
    added = sum(size or 0 for size in sizes.values())
    images = artefact.nbytes - artefact.ledger.labels
    if images + added > most:
        raise BadRequest(
            f"--bytes {most}: without labels the set takes {format_bytes(images)}, and labels as "
            f"{storage.of(LABELS).name} {format_bytes(added)}; give {images + added}, or labels in "
            "less, such as --labels int4"
        )


@torch.no_grad()
def _relabelled(
    artefact: Artefact,
    labels: Tensor,
    storage: Storage,
    most: int | None,
    card: dict[str, str],
    provenance: dict[str, Any],
) -> Artefact:
    """Return the set with labels beside images whose stored bytes are the same."""
    header, old = artefact.header, artefact.synthetic
    made = Synthetic(header.layout, old.parametrization, learned_labels=True)
    values = {name: one for name, one in old.state_dict().items() if not name.startswith(LABELS)}
    made.load_state_dict(values, strict=False)
    assert made.labels is not None
    made.labels.fit(labels)
    own = {name: one for name, one in made.state_dict().items() if name not in values}
    content = content_of(header.layout, old.parametrization, artefact.preprocessing)
    keeping = storage.of(LABELS)
    coded = keeping.encode(own, content)
    shapes = {name: tuple(one.shape) for name, one in own.items()}
    made.load_state_dict(values | keeping.decode(coded, shapes, content))
    made.requires_grad_(False)
    kept = {name: one for name, one in artefact.coded.items() if not name.startswith(LABELS)}
    added = sum(sizes_of(coded).values())
    changed = header.model_copy(
        update={
            "learned_labels": True,
            "storage": storage_text(storage),
            "budget": _budget(artefact, added, most),
            "validation": None,
            "settings": {**header.settings, **card},
            "provenance": {**header.provenance, "attar": attar.__version__, **provenance},
        }
    )
    found = Artefact(
        changed,
        made,
        artefact.preprocessing,
        learned=artefact.learned,
        coded=kept | coded,
        carried=artefact.carried,
    )
    found.checked = artefact.checked
    return found


def _budget(artefact: Artefact, added: int, most: int | None) -> dict[str, Any]:
    """Return the allowance of the set with its labels; none where it takes more than it had."""
    if most is not None:
        return {**Budget(max_bytes=most, count="all").as_dict(), "limit": most}
    before = artefact.header.budget
    totals = artefact.totals
    unused, had = totals.unused, artefact.ledger.labels
    over = totals.count == "all" and unused is not None and unused + had < added
    return {} if over else before
