"""The folder of a run: nobody else writes it, and another run's is refused."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from attar.errors import BadRequest
from attar.files import check_folder, write_text
from attar.locking import sole_writer

T = TypeVar("T")
RESULTS, _ASKED = "results.json", "asked.json"


@contextlib.contextmanager
def run_folder(output: Path | None, name: str) -> Iterator[Path]:
    """Keep other runs from a folder; where none is named, one that is gone afterwards.

    Args:
        output: the folder, made if it is not there.
        name: of the application, for messages.
    """
    if output is None:
        with tempfile.TemporaryDirectory(prefix=f"attar-{name}-") as folder:
            yield Path(folder)
        return
    check_folder(output, example=name)
    with sole_writer(output / RESULTS):
        yield output


def keep(path: Path, told: Mapping[str, Any]) -> None:
    """Write what came of a part of a run, atomically."""
    write_text(path, json.dumps(told, indent=1) + "\n")


def kept(path: Path, of: Callable[[Mapping[str, Any]], T], again: str) -> T:
    """Read what `keep` wrote.

    Args:
        path: of the file.
        of: makes it of the plain dictionary.
        again: what happens once the file is removed, for the message.

    Raises:
        BadRequest: the file is damaged.
    """
    try:
        return of(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadRequest(
            f"{path}: damaged, or of something else; remove it, and {again}"
        ) from error


def begin(folder: Path, asked: Mapping[str, Any], parts: Sequence[str], *, overwrite: bool) -> None:
    """Refuse a folder of another run, or note in it what is asked for.

    Args:
        folder: of the run.
        asked: ``command`` and whatever else the results depend on.
        parts: patterns of the files that a run writes beside its results; a new run removes them.
        overwrite: begin anew, whatever is there.

    Raises:
        BadRequest: another run is there.
    """
    path = folder / _ASKED
    if path.exists() and not overwrite:
        before = _read(path)
        if before != asked:
            command = before.get("command", f"its {_ASKED} is damaged")
            other = "" if command != asked["command"] else ", of other images"
            raise BadRequest(
                f"-o {folder}: another run is there ({command}{other}); --overwrite begins anew, "
                "or choose another folder"
            )
        return
    if not path.exists() and (folder / RESULTS).exists():
        raise BadRequest(
            f"-o {folder}: it has a {RESULTS} of something else; choose another folder"
        )
    for pattern in parts:
        for old in folder.glob(pattern):
            if old.is_file():
                old.unlink()
    write_text(path, json.dumps(asked, indent=1) + "\n")


def _read(path: Path) -> dict[str, Any]:
    """Return what a run noted; {} where that is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
