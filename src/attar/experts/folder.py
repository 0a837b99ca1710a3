"""The folder of experts: whether it can take them, and whether those there are of the same kind."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

from attar.budget import format_bytes
from attar.errors import ArtefactError, BadRequest
from attar.experts.claims import Claim, claim, someone_works
from attar.experts.header import NAME, Header, read_header
from attar.experts.plan import Plan
from attar.experts.request import ExpertsRequest
from attar.experts.store import ExpertStore, numbers, path_of
from attar.experts.unfinished import has_unfinished, remove_unfinished
from attar.experts.work import Work
from attar.files import check_folder, nearest
from attar.locking import locked
from attar.text import counted


def folder_of(request: ExpertsRequest) -> Path:
    """Return the folder of the experts, before any data are read.

    Raises:
        BadRequest: none is named, or it cannot be written to.
    """
    folder = request.output
    if folder is None:
        raise BadRequest("-o is missing: name the folder for the experts, such as -o experts")
    check_folder(folder, example="experts")
    return folder


def header_in(folder: Path) -> Header | None:
    """Return the header of a folder; None where there is none, and no expert.

    Raises:
        ArtefactError: it is damaged, or missing beside experts.
    """
    if (folder / NAME).exists():
        return read_header(folder)
    if folder.is_dir() and numbers(folder):
        raise ArtefactError(
            f"-o {folder}: experts are there, but {NAME} is missing, which says what they are; "
            "choose another folder, or --overwrite to train others"
        )
    return None


def settle_folder(plan: Plan) -> Plan:
    """Make the folder ready, and return the plan with the header that it has.

    Raises:
        BadRequest: experts with other settings are there, or the disk has not enough room.
        ArtefactError: what is there is damaged.
    """
    work, folder = plan.work, plan.work.folder
    _refuse_full_disk(plan)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadRequest(f"-o {folder}: cannot be made ({error.strerror})") from error
    with locked(folder):
        if plan.request.overwrite:
            _clear(folder)
        there = header_in(folder)
        begun = bool(numbers(folder)) or has_unfinished(folder) or someone_works(folder)
        if there is None or not begun:
            work.header.save(folder)
            return plan
        refuse_others(folder, there, work.header)
        ExpertStore(folder, there, numbers(folder)).check()
        if work.count > max(numbers(folder), default=work.count) + 1:
            # the command makes those that are added, too
            command = {"command": work.header.provenance["command"]}
            there = there.model_copy(update={"provenance": there.provenance | command})
            there.save(folder)
    return dataclasses.replace(plan, work=dataclasses.replace(work, header=there))


def claim_group(work: Work, experts: Sequence[int]) -> Claim | None:
    """Return a claim on experts of a folder that is still as it was settled, else None.

    Raises:
        BadRequest: another run has made the folder its own since, before either had begun.
        ArtefactError: what the folder holds can no longer be told.
    """
    claimed = claim(work.folder, experts)
    if claimed is None:
        return None
    try:
        refuse_taken(work)
    except BaseException:
        claimed.release()
        raise
    return claimed


def refuse_taken(work: Work) -> None:
    """Refuse a folder that another run has made its own since it was settled.

    Raises:
        BadRequest: it is for experts with other settings now.
        ArtefactError: what it holds can no longer be told.
    """
    with locked(work.folder):
        there = header_in(work.folder)
    if there is None or there.digest != work.header.digest:
        raise BadRequest(
            f"-o {work.folder}: another run has taken the folder for experts with other "
            "settings; choose another folder"
        )


def refuse_others(folder: Path, there: Header, wanted: Header) -> None:
    """Refuse settings that the experts of a folder do not have.

    Raises:
        BadRequest: names the first setting that differs.
    """
    named = ("network", "epochs", "storage", "seed")
    pairs = {name: (getattr(there, name), getattr(wanted, name)) for name in named}
    for name, value in wanted.training.items():
        if name != "reading":
            pairs[name.replace("_", "-")] = (there.training.get(name), value)
    pairs["zca"] = (there.inputs.zca, wanted.inputs.zca)
    for option, (held, asked) in pairs.items():
        if held != asked:
            raise BadRequest(
                f"--{option} {asked}: the experts in {folder} were trained with {held}; give "
                f"--{option} {held} to go on, choose another folder, or --overwrite to train others"
            )
    if list(there.shapes.items()) != list(wanted.shapes.items()):
        raise BadRequest(
            f"-o {folder}: the experts there have other parameters than network {wanted.network} "
            "has for these images; choose another folder, or --overwrite to train others"
        )
    if (there.data, there.inputs) != (wanted.data, wanted.inputs):
        raise BadRequest(
            f"-o {folder}: the experts there were trained on other images "
            f"({_told(there)}, not {_told(wanted)}); choose another folder, or --overwrite to "
            "train others"
        )


def _refuse_full_disk(plan: Plan) -> None:
    """Refuse what the disk has no room for: experts, and their copies on the way."""
    folder = plan.work.folder
    fresh = plan.request.overwrite
    missing = plan.work.count if fresh else len(plan.work.missing())
    # a file is written beside the one that it replaces
    working = min(missing, plan.work.together * (plan.request.jobs or 1))
    needed = (missing + 2 * working) * plan.expert_bytes
    free = shutil.disk_usage(nearest(folder)).free
    if fresh and folder.is_dir():
        free += sum(path_of(folder, expert).stat().st_size for expert in numbers(folder))
    if needed > free:
        raise BadRequest(
            f"-o {folder}: {counted(missing, 'expert')} of "
            f"{counted(plan.work.header.epochs, 'epoch')} take "
            f"{format_bytes(needed)}, and the disk has {format_bytes(free)} left; ask for fewer "
            "with --count or --epochs, take --storage float16, or choose another folder"
        )


def _clear(folder: Path) -> None:
    """Remove the experts of a folder that nobody works on."""
    if someone_works(folder):
        raise BadRequest(
            f"--overwrite: another process is training experts in {folder}; end it first, or "
            "choose another folder"
        )
    (folder / NAME).unlink(missing_ok=True)
    for expert in numbers(folder):
        path_of(folder, expert).unlink(missing_ok=True)
    remove_unfinished(folder)


def _told(header: Header) -> str:
    """Return in words what images experts were trained on."""
    read = ", ".join(f"--{k.replace('_', '-')} {v}" for k, v in header.training["reading"].items())
    told = header.provenance
    words = f"{told.get('images')} of {told.get('dataset')}"
    return f"{words}, {read}" if read else words
