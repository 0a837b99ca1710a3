"""What candidates reached on sets, kept in a file after each of them."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attar.errors import BadRequest
from attar.files import check_writable, write_text

FORMAT, FORMAT_VERSION = "attar.ranking", 1


class Measured:
    """Accuracies and seconds by set and candidate.

    Args:
        path: of the file; None keeps nothing.
        setup: everything else that they depend on.
        entries: that are known already.
    """

    def __init__(
        self, path: Path | None, setup: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]
    ) -> None:
        self._path = path
        self._setup = setup
        self._found = {(one["set"], one["candidate"]): dict(one) for one in entries}

    def get(self, given: str, candidate: str) -> Mapping[str, Any] | None:
        """Return what is known of a candidate on a set; None for nothing."""
        return self._found.get((given, candidate))

    def mean(self, given: str, candidate: str) -> float:
        """Return its mean accuracy in percent."""
        return statistics.fmean(self._found[given, candidate]["accuracies"])

    def seconds(self, given: str, candidate: str) -> float:
        """Return how long training and testing it took."""
        return self._found[given, candidate]["seconds"]

    def add(self, given: str, candidate: str, accuracies: Sequence[float], seconds: float) -> None:
        """Keep what a candidate reached."""
        entry = {"set": given, "candidate": candidate}
        entry |= {"accuracies": list(accuracies), "seconds": seconds}
        self._found[given, candidate] = entry
        if self._path is not None:
            document = {"format": FORMAT, "version": FORMAT_VERSION, "setup": self._setup}
            document["measured"] = list(self._found.values())
            write_text(self._path, json.dumps(document, indent=2) + "\n")


def opened(path: Path | None, setup: Mapping[str, Any], resume: bool, overwrite: bool) -> Measured:
    """Return what a file keeps, or nothing known where it is new.

    Raises:
        BadRequest: it could not be written, it is there and is neither to be gone on with nor to be
            replaced, or it was measured otherwise.
    """
    if resume and overwrite:
        raise BadRequest("give --resume or --overwrite, not both")
    if path is None:
        if resume or overwrite:
            raise BadRequest("--resume and --overwrite are of the file that -o names; give -o, too")
        return Measured(None, setup, ())
    if path.suffix != ".json":
        raise BadRequest(f"-o {path}: the name must end in .json")
    check_writable(path, "-o", "ranking.json")
    if not path.exists() or overwrite:
        return Measured(path, setup, ())
    if not resume:
        raise BadRequest(f"-o {path}: is there already; --resume goes on, --overwrite starts again")
    found = _read(path)
    before, now = found["setup"], json.loads(json.dumps(setup))
    differing = [name for name in now if before.get(name) != now[name]]
    if differing:
        raise BadRequest(
            f"--resume: {path} was measured with another value of {', '.join(differing)}; "
            "--overwrite starts again, or choose another name"
        )
    return Measured(path, setup, found["measured"])


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT or found["version"] != FORMAT_VERSION:
            raise ValueError
        if not isinstance(found["setup"], dict) or not all(map(_is_entry, found["measured"])):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadRequest(
            f"--resume: {path} is no file of 'attar rank' or is damaged; --overwrite starts again"
        ) from error
    return found


def _is_entry(entry: Any) -> bool:
    numbers = [*entry["accuracies"], entry["seconds"]]
    return (
        len(numbers) > 1
        and all(type(one) in (int, float) and math.isfinite(one) for one in numbers)
        and all(isinstance(entry[name], str) for name in ("set", "candidate"))
    )
