"""`attar.load`: an artefact from its file, which is not trusted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from attar.artefact.artefact import LEARNT, Artefact, preprocessing_of
from attar.artefact.carried import Carried
from attar.artefact.checks import check_header, check_set, check_tensors
from attar.artefact.coding import check_parted
from attar.artefact.dataset import Transform
from attar.artefact.header import FORMAT, FORMAT_VERSION, READ_FROM, Header
from attar.artefact.parts import Held, Part
from attar.budget import Budget
from attar.errors import ArtefactError, BadRequest
from attar.hub import local
from attar.kinds import check_kind
from attar.storage import storage_of
from attar.stored import Stored, open_stored
from attar.synthetic import Synthetic, content_of
from attar.tensors import all_finite, read_header

# what a header of a wrong content comes to
_NO_SET = (BadRequest, TypeError, KeyError, ValueError, RuntimeError, OverflowError)


def load(
    path: str | Path, ipc: int | None = None, *, transform: Transform | None = None
) -> Artefact:
    """Read an artefact, or the smaller one that its beginning is. Nothing in it is executed.

    Args:
        path: of the file; or ``hub:OWNER/NAME``, with ``@REVISION`` for one that stays as it is,
            for what `attar.push` shared on the Hugging Face Hub (extra ``hf``).
        ipc: memory in full float32 images per class, at most the artefact's own; None for the
            whole. A set of components ordered by significance is read without the least
            significant ones (`attar.synthetic.forms.orthogonal.smaller`), a nested one by the
            first images of every class. Of these, their own bytes are read and less than a block
            of checksums at either end of a range, beside the header, U and Σ, and the tensors of
            a whitening, which are needed whole. A file of coded values (`attar.storage`) is read
            whole, and the smaller set taken out of that.
        transform: what each item goes through, such as a random crop: it takes network inputs,
            C×H×W float32 (see `Artefact.with_transform`).

    Raises:
        ArtefactError: the file is missing, truncated, damaged, foreign, tampered with, or of a
            newer format version.
        BadRequest: the path is none, what it stands for on the Hub cannot be had, ``ipc`` is no
            positive whole number or more than the artefact has, or the artefact is neither ordered
            nor nested.

    Example:
        >>> attar.load("digits.safetensors").images.shape  # doctest: +SKIP
        torch.Size([40, 1, 8, 8])
        >>> attar.load("ordered.safetensors", ipc=1).images.shape  # doctest: +SKIP
        torch.Size([10, 1, 8, 8])
    """
    made = _loaded(path, ipc)
    return made if transform is None else made.with_transform(transform)


def _loaded(path: str | Path, ipc: int | None) -> Artefact:
    check_kind("path", path, Path)
    path = local(path)
    with open_stored(path) as stored:
        if ipc is None:
            header, part = _header(path, stored.header), None
        else:
            header, part = part_of(stored, ipc)
        if ipc is None or part is None:
            return from_tensors(path, header, stored.all(), checked=stored.checked)
        own = _header_of_part(path, header, ipc, part)
        if storage_of(header.storage).fixed:
            return from_tensors(path, own, part.read(stored), checked=stored.checked)
        whole = from_tensors(path, header, stored.all(), checked=stored.checked)
        found = Synthetic(own.layout, part.parametrization, own.learned_labels)
        found.load_state_dict(part.of(path, whole.synthetic.state_dict()))
        made = Artefact.rounded(own, found, whole.preprocessing, whole.learned, whole.carried)
        made.checked = stored.checked
        return made


def ipc_of_part(path: str | Path, ipc: int | None) -> int | None:
    """Return ``ipc``, or None where the set of that memory is the whole file.

    Raises:
        ArtefactError: the file is no artefact.
        BadRequest: there is no such set in it.
    """
    if ipc is None:
        return None
    with open_stored(path) as stored:
        return None if part_of(stored, ipc)[1] is None else ipc


def part_of(stored: Stored, ipc: int) -> tuple[Header, Part | None]:
    """Return the header of an open file, and the part of it at a budget; None for the whole.

    Raises:
        ArtefactError: the header is not that of an artefact.
        BadRequest: there is no such part (`attar.artefact.parts.Held.part`).
    """
    path = stored.path
    header = _header(path, stored.header)
    with _describing(path):
        form = check_header(path, header)
    advice = f"load it whole, or make a smaller one with 'attar slim {path} --ipc {ipc}'"
    check_parted(storage_of(header.storage), f"--ipc {ipc}", advice)
    held = Held(path, header.layout, form, header.storage, header.nested, header.budget.get("ipc"))
    return header, held.part(ipc)


def _header_of_part(path: Path, header: Header, ipc: int, part: Part) -> Header:
    """Return the header of a smaller set; what was measured of the whole does not hold of it."""
    budget = {**Budget(ipc=ipc).as_dict(), "limit": part.limit}
    held = f"{header.images_per_class} images per class of {path.name}"
    return header.model_copy(
        update={
            "images_per_class": part.layout.per_class,
            "class_counts": part.layout.counts,
            "parametrization": part.parametrization.describe(),
            "budget": budget,
            "validation": None,
            "provenance": {**header.provenance, READ_FROM: f"{held}, at ipc {ipc}"},
        }
    )


def from_tensors(
    path: Path, header: Header, tensors: dict[str, Tensor], *, checked: bool
) -> Artefact:
    """Return the artefact of a header and the stored tensors that belong to it.

    Args:
        path: the file that they come from.
        header: the header.
        tensors: of the set, of its preprocessing and what was learnt beside it, where there are
            any; all but the first are taken out.
        checked: whether the tensors were compared with checksums.

    Raises:
        ArtefactError: header and tensors do not fit together, or are no set
                (`attar.artefact.checks`).
    """
    with _describing(path):
        synthetic = Synthetic(header.layout, check_header(path, header), header.learned_labels)
        check_tensors(path, header, synthetic, tensors)
        preprocessing = preprocessing_of(header, tensors)
        learned = {name: tensors.pop(LEARNT + name) for name in header.learned}
        carried = _carried(path, header, tensors)
    storage = storage_of(header.storage)
    shapes = {name: tuple(tensor.shape) for name, tensor in synthetic.state_dict().items()}
    content = content_of(header.layout, synthetic.parametrization, preprocessing)
    try:
        synthetic.load_state_dict(storage.decode(tensors, shapes, content))
    except ValueError as error:
        raise ArtefactError(f"{path}: its {storage.name} values are damaged: {error}") from error
    synthetic.requires_grad_(False)
    artefact = Artefact(
        header,
        synthetic,
        preprocessing,
        checked=checked,
        learned=learned,
        coded=None if storage.fixed else tensors,
        carried=carried,
    )
    with _describing(path):
        check_set(path, artefact)
    return artefact


def _carried(path: Path, header: Header, tensors: dict[str, Tensor]) -> Carried | None:
    """Return the network that a file carries, whose tensors are taken out of ``tensors``.

    Raises:
        ArtefactError: its values are damaged.
    """
    if header.teacher is None:
        return None
    found = Carried(header.teacher, {name: tensors.pop(name) for name in header.teacher.kept()})
    try:
        values = found.tensors()
    except ValueError as error:
        raise ArtefactError(
            f"{path}: the values of the network that it carries are damaged: {error}"
        ) from error
    if not all_finite(values):
        raise ArtefactError(f"{path}: the network that it carries holds values that are no numbers")
    return found


@contextlib.contextmanager
def _describing(path: Path) -> Iterator[None]:
    """Tell whatever a header of a wrong content comes to as one kind of error."""
    try:
        yield
    except ArtefactError:
        raise
    except _NO_SET as error:
        raise ArtefactError(f"{path}: its header does not describe a set ({error})") from error


def load_header(path: Path) -> Header:
    """Return the header of an artefact without reading its tensors."""
    return _header(path, read_header(path))


def _header(path: Path, header: Mapping[str, Any]) -> Header:
    if header.get("format") != FORMAT:
        raise ArtefactError(
            f"{path} was written by Attar but is no artefact (format {header.get('format')!r}); "
            "a checkpoint is continued with 'attar condense … --resume'"
        )
    version = header.get("version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ArtefactError(
            f"{path} has format version {version}; this Attar reads up to {FORMAT_VERSION}. "
            "Install a newer one."
        )
    try:
        return Header.model_validate(header)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ArtefactError(f"{path}: header field {where!r}: {first['msg']}") from error
