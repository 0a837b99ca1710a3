"""`attar.push`: a set goes to the Hugging Face Hub, or into a folder as it would go there."""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attar.artefact.artefact import Artefact, evaluation_path
from attar.artefact.loading import load
from attar.errors import BadRequest, RunFailed
from attar.evaluation.exported import Exported
from attar.evaluation.record import Evaluation, digest, read_record
from attar.files import check_folder, write_folder
from attar.hub import SET, answers, check_repository, endpoint, first_line, library, local
from attar.kinds import check_arguments
from attar.sharing.folder import CROISSANT, README, TABLE, Told, write_shared
from attar.sharing.licences import checked
from attar.wording import worded

_FILES = (README, CROISSANT, SET, TABLE)


@dataclass(frozen=True)
class Pushed:
    """What was shared.

    Args:
        repository: ``OWNER/NAME``; None for a folder.
        folder: where it was written, where asked for.
        commit: of the Hub; None for a folder.
        url: of its page; None for a folder.
    """

    repository: str | None
    folder: Path | None
    commit: str | None = None
    url: str | None = None

    @property
    def address(self) -> str:
        """What `attar.load` reads it by, as it is now and will be."""
        if self.folder is not None:
            return str(self.folder / SET)
        return f"hub:{self.repository}@{self.commit}"


def push(
    artefact: Artefact | str | Path,
    name: str | None = None,
    *,
    license: str | None = None,
    source_license: str | None = None,
    source: str | None = None,
    title: str | None = None,
    to: str | Path | None = None,
    private: bool = False,
    overwrite: bool = False,
    as_pictures: Exported | None = None,
) -> Pushed:
    """Share a set: its file, a table that needs no Attar, and the card of both.

    The card is the page of a data set on the Hub, with YAML above it, and a Croissant document.
    Neither they nor the file name a folder of this machine.

    Args:
        artefact: or the path of one; what `attar evaluate` kept beside it is told in the card.
        name: ``OWNER/NAME`` of a data set of the Hub, made where it is not there; may be left out
            beside ``to``.
        license: under which the set may be used, such as ``cc-by-4.0``; ``other:NAME`` for one
            that the Hub does not know.
        source_license: of the real data that it was made from, in the same way.
        source: what these are called, such as ``uoft-cs/cifar10``; as the set recorded it where
            left out.
        title: of the page; the name where left out.
        to: a new folder that takes the files in place of the Hub.
        private: make a data set that nobody else sees.
        overwrite: replace a set that is there already; on the Hub, its earlier commits stay.
        as_pictures: what `attar.evaluation.exported.evaluate_export` found, to be told.

    Returns:
        Where it is now.

    Raises:
        BadRequest: a licence is missing or not known, the name is none, something is there
            already, or the Hub does not let it in.
        ArtefactError: the file is no artefact.

    Example:
        >>> attar.push("mine.safetensors", "ada/cats", license="cc-by-4.0",
        ...            source_license="cc-by-4.0", to="cats")  # doctest: +SKIP
        Pushed(repository='ada/cats', folder=PosixPath('cats'), commit=None, url=None)
    """
    told_of = {"license": license, "source_license": source_license, "source": source}
    check_arguments(push, {**told_of, "name": name, "title": title, "to": to})
    told = Told(
        checked("--license", license, "the set"),
        checked("--source-license", source_license, "the data that it was made from"),
        source,
        title,
        as_pictures=as_pictures,
    )
    if name is None and to is None:
        raise BadRequest("name where it goes: OWNER/NAME on the Hub, or --to FOLDER")
    repository = None if name is None else check_repository(name)
    if to is not None:
        _check_target(Path(to), overwrite)
    elif repository is not None:
        _check_hub(repository)
    own, told = _read(artefact, told)
    if to is not None:
        write_folder(Path(to), lambda new: write_shared(own, new, repository, told))
        return Pushed(repository, Path(to))
    assert repository is not None
    with tempfile.TemporaryDirectory(prefix="attar-push-") as made:
        write_shared(own, Path(made), repository, told)
        return _uploaded(Path(made), repository, private=private, overwrite=overwrite)


def _read(artefact: Artefact | str | Path, told: Told) -> tuple[Artefact, Told]:
    """Return a set, with what was measured of it."""
    if isinstance(artefact, Artefact):
        return artefact, told
    path = local(artefact)
    return load(path), dataclasses.replace(told, measured=_measured(path))


def _measured(path: Path) -> tuple[Evaluation, ...]:
    """Return what is kept of a set that was evaluated as it is."""
    kept = evaluation_path(path)
    if not kept.is_file():
        return ()
    record = read_record(kept)
    if record.sha256 != digest(path):
        return ()
    return record.evaluations


def _check_target(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that holds something else, or an earlier set that is not to be replaced."""
    check_folder(folder, "--to", "cats", replaced=True)
    there = {one.name for one in folder.iterdir()} if folder.is_dir() else set[str]()
    if not there:
        return
    if there - {path.partition("/")[0] for path in _FILES}:
        raise BadRequest(f"--to {folder}: there are other files in it; name a new folder")
    if not overwrite:
        raise BadRequest(
            f"--to {folder}: a shared set is already there; --overwrite replaces it, or name a new "
            "folder"
        )


def _check_hub(repository: str) -> None:
    """Refuse a Hub that does not answer, before anything is made for it."""
    library(f"hub:{repository}")
    from huggingface_hub import constants

    if not (constants.HF_HUB_OFFLINE or answers()):
        raise RunFailed(
            f"{repository} was not shared: the Hub does not answer; connect and try again, or "
            "write a folder with --to FOLDER"
        )


def _uploaded(folder: Path, repository: str, *, private: bool, overwrite: bool) -> Pushed:
    """Send the files of a folder as one commit."""
    hub = library(f"hub:{repository}")
    api: Any = hub.HfApi(endpoint=endpoint())
    try:
        api.create_repo(repository, repo_type="dataset", private=private, exist_ok=True)
        if not overwrite and api.file_exists(repository, SET, repo_type="dataset"):
            raise BadRequest(
                f"{repository} already holds a set; --overwrite adds a commit that replaces it "
                "(what is there now stays to be had by its revision), or choose another name"
            )
        made = api.create_commit(
            repository,
            [hub.CommitOperationAdd(path, str(folder / path)) for path in _FILES],
            commit_message=worded("A set condensed with Attar"),
            repo_type="dataset",
        )
    except BadRequest:
        raise
    except Exception as error:  # of the library, and of what it sends requests by
        raise _refused(repository, error, hub.errors) from error
    url = f"{api.endpoint}/datasets/{repository}"
    return Pushed(repository, None, made.oid, url)


def _refused(repository: str, error: Exception, errors: Any) -> BadRequest | RunFailed:
    """Say in a sentence why the Hub did not take a set."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403) or isinstance(error, errors.LocalTokenNotFoundError):
        return BadRequest(
            f"{repository}: the Hub does not let you write there; log in with 'hf auth login' by a "
            "token that may, or set HF_TOKEN"
        )
    if isinstance(error, errors.OfflineModeIsEnabled):
        return BadRequest(
            f"{repository}: HF_HUB_OFFLINE is set; unset it, or write a folder with --to FOLDER"
        )
    return RunFailed(
        f"{repository} was not shared ({first_line(error)}); try again, or write a folder with "
        "--to FOLDER"
    )
