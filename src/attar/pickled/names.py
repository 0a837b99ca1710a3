"""Which functions and classes a pickle names, found without unpickling it."""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from attar.errors import BadRequest
from attar.pickled.limits import ENCODE, Account, Measured
from attar.zipped import UNREADABLE, check_member, opened, reason

_STORAGES = ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
_ALLOWED = {
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.nn.parameter.Parameter",
    "torch.Size",
    "torch.device",
    ENCODE,
    *(f"torch.{name}Storage" for name in _STORAGES),
}
# accuracies beside a set are numpy numbers; they are passed over
NUMBER = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
NUMBER_TYPE = "numpy.dtype"
# a file of torch.save before PyTorch 1.6 is so many pickles, then raw values
_LEGACY_PICKLES = 5
_ARCHIVE = b"PK\x03\x04"
_LEGACY_BEGINNING = 0x1950A86A20F9469CFC6C


def refuse_code(path: Path, anew: str) -> None:
    """Refuse a pickle that names anything but tensors, before it is opened.

    Args:
        path: of the file.
        anew: how tensors alone would be saved.

    Raises:
        BadRequest: says which names, and what to do.
    """
    found = names_in(path)
    odd = sorted(found - _ALLOWED - {*NUMBER, NUMBER_TYPE})
    if odd:
        listed = ", ".join(odd[:5]) + (f" and {len(odd) - 5} more" if len(odd) > 5 else "")
        raise BadRequest(
            f"{path} was not opened: it asks for {listed}, which is code, and a file's code is "
            "never run. Only tensors in lists and dictionaries are read. If you trust the file, "
            f"load it where it was written and save the tensors alone: {anew}"
        )


def names_in(path: Path) -> set[str]:
    """Return every function and class that a file's pickles name, without unpickling.

    Raises:
        BadRequest: the file holds no pickle.
    """
    try:
        found = _in_archive(path) if is_archive(path) else _at_beginning(path)
    except UNREADABLE as error:
        raise BadRequest(f"{path} cannot be read ({reason(error)}); fetch it again") from error
    if not found:
        raise BadRequest(f"{path} is no file of torch.save: it holds no pickle")
    return {name for names in found for name in names}


def is_archive(path: Path) -> bool:
    """Tell whether a file is a zip file, as PyTorch tells it."""
    with path.open("rb") as file:
        return file.read(len(_ARCHIVE)) == _ARCHIVE


def _in_archive(path: Path) -> list[set[str]]:
    """Return the names in every pickle of a zip file, once its members are what they say."""
    found: list[set[str]] = []
    with opened(path) as archive:
        members = archive.infolist()
        # PyTorch looks for members without regard to case
        if len({info.filename.lower() for info in members}) < len(members):
            raise ValueError("two of its members have one name")
        for info in members:
            check_member(info, packed=False)
            if info.file_size != info.compress_size:
                raise ValueError(f"its member {info.filename!r} has two sizes")
            if info.filename.lower().endswith(".pkl"):
                with archive.open(info) as file:
                    found += _pickles(file, 1)
    return found


def _at_beginning(path: Path) -> list[set[str]]:
    """Return the names in the pickles with which a file of an older form begins."""
    with path.open("rb") as file:
        return list(_pickles(file, _LEGACY_PICKLES))


def _pickles(file: IO[bytes], most: int) -> Iterator[set[str]]:
    """Yield the names in each of the pickles at the beginning of a file.

    Raises:
        ValueError: one asks for more than tensors need.
    """
    measured = Measured(file)
    for index in range(most):
        names: set[str] = set()
        beginning, account = None, Account()
        operations = _named(measured, names)
        while True:
            try:
                operation, argument = next(operations)
            except StopIteration:
                break
            except UNREADABLE:
                # not a pickle from here on; what a damaged one names is told all the same
                if names:
                    yield names
                return
            account.add(operation, argument)
            if operation.name == "LONG1" and beginning is None:
                beginning = argument
        yield names
        if index == 0 and most > 1 and beginning != _LEGACY_BEGINNING:
            return


def _named(file: Measured, names: set[str]) -> Iterator[tuple[Any, Any]]:
    """Go through a pickle's operations and note what they name."""
    texts: list[str] = []
    memory: dict[int, str] = {}
    for operation, argument, _ in pickletools.genops(file):  # pyright: ignore[reportArgumentType]
        name = operation.name
        if name in ("GLOBAL", "INST"):
            names.add(str(argument).replace(" ", "."))
        elif name == "STACK_GLOBAL":
            names.add(".".join(texts[-2:]) or "a name that is put together")
        elif isinstance(argument, str):
            texts.append(argument)
        elif name == "MEMOIZE":
            memory[len(memory)] = texts[-1] if texts else ""
        elif isinstance(argument, int) and name.endswith("PUT"):
            memory[argument] = texts[-1] if texts else ""
        elif isinstance(argument, int) and name.endswith("GET"):
            texts.append(memory.get(argument, "?"))
        del texts[:-64]
        yield operation, argument
