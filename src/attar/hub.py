"""Sets that others shared: ``hub:OWNER/NAME`` stands for a file of the Hugging Face Hub."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attar.errors import BadRequest
from attar.places import default_data_dir

PREFIX = "hub:"
# seconds that the Hub has to answer at all
_PATIENCE = 5.0
# the artefact in a repository that `attar push` wrote
SET = "set.safetensors"
_NAME = r"[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9])?"
_REPOSITORY = re.compile(rf"{_NAME}/{_NAME}", re.ASCII)
_ADDRESS = re.compile(
    rf"(?P<repository>{_NAME}/{_NAME})(?:/(?P<file>[\w./ -]+\.safetensors))?"
    r"(?:@(?P<revision>[\w./-]{1,255}))?",
    re.ASCII,
)


@dataclass(frozen=True)
class Address:
    """Where a shared set lies.

    Args:
        repository: ``OWNER/NAME`` of a data set of the Hub.
        file: in it.
        revision: a branch, a tag or a commit; None for what is newest.
    """

    repository: str
    file: str = SET
    revision: str | None = None

    @classmethod
    def of(cls, text: str) -> Address:
        """Read ``hub:OWNER/NAME[/FILE.safetensors][@REVISION]``.

        Raises:
            BadRequest: it is none.
        """
        found = _ADDRESS.fullmatch(text.removeprefix(PREFIX))
        if found is None or ".." in text:
            raise BadRequest(
                f"{text}: write hub:OWNER/NAME, with @REVISION for one that stays as it is, such "
                "as hub:ada/cats or hub:ada/cats@v1"
            )
        return cls(found["repository"], found["file"] or SET, found["revision"])

    def __str__(self) -> str:
        file = "" if self.file == SET else f"/{self.file}"
        return f"{PREFIX}{self.repository}{file}" + (f"@{self.revision}" if self.revision else "")


def check_repository(name: str) -> str:
    """Return the name of a data set of the Hub.

    Raises:
        BadRequest: it is none.
    """
    own = name.removeprefix(PREFIX)
    if not _REPOSITORY.fullmatch(own) or ".." in own or "--" in own:
        raise BadRequest(f"{name!r} names no data set of the Hub; write OWNER/NAME, as ada/cats")
    return own


def is_address(path: object) -> bool:
    """Tell whether a path stands for a set of the Hub."""
    return _text(path).startswith(PREFIX)


def local(path: str | Path) -> Path:
    """Return a path as it is, or that of the file which an address stands for, once it is here.

    What was downloaded is kept in the data folder, by commit, and asked for again only where the
    revision may have moved on. It is a file that somebody sent: nothing is taken for granted.

    Raises:
        BadRequest: no such address, repository, revision or file, or it cannot be had.
    """
    if not is_address(path):
        return Path(path)
    address = Address.of(_text(path))
    hub = library(str(address))
    try:
        with asked():
            found = hub.hf_hub_download(
                address.repository,
                address.file,
                repo_type="dataset",
                revision=address.revision,
                cache_dir=default_data_dir() / "hub",
                endpoint=endpoint(),
            )
    except Exception as error:  # of the library, of what it sends requests by, and of the system
        raise _refused(address, error, hub.errors) from error
    return Path(found)


def library(asking: str) -> Any:
    """Return the library of the Hub.

    Raises:
        BadRequest: it is not installed.
    """
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise BadRequest(
            f"{asking} needs the library 'huggingface-hub': pip install 'attar[hf]'"
        ) from error
    return huggingface_hub


def endpoint() -> str | None:
    """Return the address of the Hub where it is not the usual one."""
    return os.environ.get("HF_ENDPOINT") or None


@contextlib.contextmanager
def asked() -> Iterator[None]:
    """Keep the libraries to what is on this machine, where the Hub does not answer, in the block.

    Left alone they try for half a minute where nothing listens, and for minutes where nothing
    answers.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or answers():
        yield
        return
    # that of the library datasets is a copy
    places: list[Any] = [constants, *filter(None, [sys.modules.get("datasets.config")])]
    before = [place.HF_HUB_OFFLINE for place in places]
    try:
        for place in places:
            place.HF_HUB_OFFLINE = True
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.HF_HUB_OFFLINE = value


def answers() -> bool:
    """Tell whether the Hub answers within seconds, whatever it says."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    try:
        get_session().head(endpoint() or constants.ENDPOINT, timeout=_PATIENCE)
    except Exception:  # of what it sends requests by, which is another library since 1.0
        return False
    return True


def first_line(error: BaseException) -> str:
    """Return what an error says first."""
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__


def _text(path: object) -> str:
    # a path of Windows has other strokes
    return path.as_posix() if isinstance(path, Path) else str(path)


def _refused(address: Address, error: Exception, errors: Any) -> BadRequest:
    """Say in a sentence why a set cannot be had."""
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        return BadRequest(
            f"{address} is not on this machine, and the Hub cannot be reached; connect, or unset "
            "HF_HUB_OFFLINE, and try again"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return BadRequest(
            f"{address}: the Hub has no data set {address.repository}, or it is private; check the "
            "name, or log in with 'hf auth login'"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return BadRequest(
            f"{address}: there is no revision {address.revision!r}; name a branch, a tag or a "
            "commit, or leave @ out for the newest"
        )
    if isinstance(error, errors.EntryNotFoundError):
        return BadRequest(
            f"{address}: there is no {address.file}; 'attar push' writes {SET}, and another file "
            f"is named as hub:{address.repository}/FILE.safetensors"
        )
    return BadRequest(f"{address} could not be had ({first_line(error)}); try again later")
