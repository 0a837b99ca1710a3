"""What a set costs: the lines of its ledger, whether it is there or only planned."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from torch import Tensor

from attar.budget import CARRIED, Entry, Ledger
from attar.data.preprocessing import Preprocessing
from attar.errors import BadRequest
from attar.storage import Content, Storage, storage_of
from attar.synthetic.forms.form import Parametrization
from attar.synthetic.layout import Layout

_PREPROCESSING = "preprocessing: needed to show the images and to test on real ones"
_LEARNT = "learnt beside the set"
_CARRIED = "the network that labels every batch of these images"


def stored_entry(
    name: str, shape: tuple[int, ...], storage: Storage, form: Parametrization, size: int
) -> Entry:
    """Return the ledger's line of one tensor of a set that takes ``size`` bytes."""
    beside = form.uncounted
    paper = name.startswith("images.") and name not in beside
    why = "images or their factors" if paper else beside.get(name, "learned labels")
    return Entry(name, shape, storage.of(name).name, size, paper, why)


def extra_entries(extras: Mapping[str, Tensor] | None) -> list[Entry]:
    """Return the ledger's lines of tensors beside those of the set.

    The papers count none of them; a network that is there in place of more images counts as these.
    """
    return [
        Entry(
            name=name,
            shape=tuple(tensor.shape),
            dtype=str(tensor.dtype).removeprefix("torch."),
            bytes=tensor.numel() * tensor.element_size(),
            paper=name.startswith(CARRIED),
            why=_why(name),
        )
        for name, tensor in (extras or {}).items()
    ]


def _why(name: str) -> str:
    told = {"learned.": _LEARNT, CARRIED: _CARRIED}
    return next((why for head, why in told.items() if name.startswith(head)), _PREPROCESSING)


def planned_ledger(
    layout: Layout,
    parametrization: Parametrization,
    storage: str | Storage,
    learned_labels: bool = False,
    extras: Mapping[str, Tensor] | None = None,
    measured: Callable[[Layout], Mapping[str, int]] | None = None,
) -> Ledger:
    """Return the most that a set may cost, from its settings alone, without building it.

    Args:
        layout: the rows.
        parametrization: the form.
        storage: how values are kept.
        learned_labels: whether labels are stored, too.
        extras: further tensors that must be kept, such as a whitening matrix.
        measured: the bytes of the tensors of a layout, by name, asked for where only their values
            tell those of the images; what is not among them is planned.

    Raises:
        BadRequest: an unknown storage, rows that the form cannot keep, a form that the storage
            cannot, or one whose size only its values tell, and ``measured`` is missing.
    """
    parametrization.check_shape(layout.shape)
    storage = storage_of(storage)
    check_storage(storage, layout, parametrization)
    if not storage.fixed:
        entries = _coded_entries(layout, parametrization, storage, learned_labels, measured)
        return Ledger((*entries, *extra_entries(extras)))

    def line(name: str, values: int) -> Entry:
        size = storage.planned(name, (values,)) or 0
        return stored_entry(name, (values,), storage, parametrization, size)

    entries = [line("images.*", parametrization.values(layout))]
    if beside := parametrization.beside(layout):
        why = "; ".join(dict.fromkeys(parametrization.uncounted.values())) or "beside the images"
        own = line("images.beside", beside)
        entries.append(dataclasses.replace(own, paper=False, why=why))
    if learned_labels:
        entries.append(line("labels.*", parametrization.label_values(layout)))
    return Ledger((*entries, *extra_entries(extras)))


def check_storage(storage: Storage, layout: Layout, form: Parametrization) -> None:
    """Refuse bits that a form cannot keep.

    Raises:
        BadRequest: says why, and what can.
    """
    if form.uncoded and not storage.fixed:
        raise BadRequest(
            f"--storage {storage.name}: sets in the form {form.name!r} cannot be kept so, since "
            f"{form.uncoded}; choose float32, float16 or bfloat16"
        )
    if form.whole > storage.whole:
        raise BadRequest(
            f"--storage {storage.name}: the form {form.name!r} says by whole numbers up to "
            f"{form.whole} what its values are, and so they would be others; choose float32, "
            "float16 or bfloat16, or a setting of the form that says nothing so, such as "
            "--set chosen=low"
        )
    storage.check(content_of(layout, form), form.name)


def content_of(
    layout: Layout, form: Parametrization, preprocessing: Preprocessing | None = None
) -> Content:
    """Return what a storage may know of the tensors of a set."""
    names = form.shapes(layout) if form.telling else ()
    exact = frozenset(name for name in names if name.rpartition(".")[2] in form.telling)
    return Content(layout.sizes(), layout.shape, preprocessing, form.pictures, exact)


def _coded_entries(
    layout: Layout,
    form: Parametrization,
    storage: Storage,
    learned_labels: bool,
    measured: Callable[[Layout], Mapping[str, int]] | None,
) -> list[Entry]:
    found = []
    shapes = form.shapes(layout, learned_labels=learned_labels)
    sizes = {name: storage.planned(name, shape) for name, shape in shapes.items()}
    if measured is not None and None in sizes.values():
        sizes |= measured(layout)
    for name, shape in shapes.items():
        size = sizes[name]
        if size is None:
            raise BadRequest(
                f"--storage {storage.name}: how many bytes it takes depends on the images, which "
                "are not known here; choose a method that keeps real images, such as random, or "
                "another storage"
            )
        found.append(stored_entry(name, shape, storage, form, size))
    return found
