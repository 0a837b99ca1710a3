"""Which folders of a data set are its parts, and which are classes; refused where both can be."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from attar.data.part_names import hints_of, part_of
from attar.data.walking import is_folder, is_hidden
from attar.errors import BadRequest


@dataclass(frozen=True)
class PartFolders:
    """The folders of the parts, each with one subfolder per class.

    Args:
        train: of the training part.
        test: of the test part, where there is one.
        validation: of a part to select by, where there is one beside a test part.
        note: how they were told.
    """

    train: Path
    test: Path | None
    validation: Path | None
    note: str

    @property
    def others(self) -> dict[str, Path]:
        """The folders of the parts beside the training part."""
        found = {"test": self.test, "validation": self.validation}
        return {part: path for part, path in found.items() if path is not None}


def find_parts(root: Path) -> PartFolders:
    """Tell parts from classes by the names of the subfolders, in any case.

    With training and validation folders alone, the validation folder is the test part, as for
    ImageNet.

    Raises:
        BadRequest: no training folder beside one for testing, two folders for one part, or
            folders that can be parts as well as classes.
    """
    present = subfolders(root)
    named = [path for path in present if part_of(path.name)]
    others = [path for path in present if path not in named]
    if others:
        # a part has folders of classes
        named = [path for path in named if subfolders(path)]
        if not named:
            _refuse_hidden_parts(root, present)
            return PartFolders(root, None, None, "the folder has no train and test parts")
    if not named:
        return PartFolders(root, None, None, "the folder has no train and test parts")
    found = _by_part(root, named)
    if others and not _are_parts(found, others):
        raise _either(root, found, others)
    if "train" not in found:
        present_names = " and ".join(path.name for path in named)
        raise BadRequest(
            f"{root} has {present_names} but no train; put the training images into a subfolder "
            "train"
        )
    classes = subfolders(found["train"])
    _refuse_parts_below_classes(found["train"], classes)
    return _as_parts(found, others)


def subfolders(root: Path) -> list[Path]:
    """Return the subfolders that are not hidden, sorted by name.

    Raises:
        BadRequest: the folder cannot be read.
    """
    try:
        with os.scandir(root) as entries:
            names = [e.name for e in entries if not is_hidden(e.name) and is_folder(e)]
    except OSError as error:
        raise BadRequest(f"{root} cannot be read ({error.strerror or error})") from error
    return [root / name for name in sorted(names)]


def _by_part(root: Path, named: Sequence[Path]) -> dict[str, Path]:
    """Return the folder of each part.

    Raises:
        BadRequest: two folders mean the same part.
    """
    found: dict[str, Path] = {}
    for path in named:
        part = part_of(path.name) or ""
        if part in found:
            raise BadRequest(
                f"{root} has {found[part].name} and {path.name}, which both mean the {part} part; "
                "bring their images together in one of them, or move the other away"
            )
        found[part] = path
    return found


def _as_parts(found: dict[str, Path], others: Sequence[Path]) -> PartFolders:
    train, test, validation = found["train"], found.get("test"), found.get("val")
    unread = f"not read: {', '.join(path.name for path in others)}" if others else ""
    if test is None and validation is None:
        note = f"the folder {train.name} has no test or val beside it"
    elif test is None:
        assert validation is not None
        note = f"the folders {train.name} and {validation.name} (as test)"
        test, validation = validation, None
    elif validation is None:
        note = f"the folders {train.name} and {test.name}"
    else:
        note = f"the folders {train.name}, {test.name} and {validation.name} (as validation)"
    return PartFolders(train, test, validation, "; ".join(filter(None, (note, unread))))


def _are_parts(found: dict[str, Path], others: Sequence[Path]) -> bool:
    """Tell whether folders named as parts are parts, though there are other folders beside them.

    They are where the others hold no files, or where training and test part have the same
    folders of classes.
    """
    if "train" not in found:
        return False
    if not any(_has_files(path) for path in others):
        return True
    classes = {path.name for path in subfolders(found["train"])}
    rest = [path for part, path in found.items() if part != "train"]
    return (
        len(classes) > 1
        and bool(rest)
        and all({one.name for one in subfolders(path)} <= classes for path in rest)
        and not any({one.name for one in subfolders(path)} & classes for path in others)
    )


def _has_files(folder: Path) -> bool:
    return any(names for _, _, names in os.walk(folder))


def _either(root: Path, found: dict[str, Path], others: Sequence[Path]) -> BadRequest:
    named = list(found.values())
    alone = found.get("train", named[0])
    parts, rest = (_few([path.name for path in paths]) for paths in (named, others))
    return BadRequest(
        f"{root} can be read in two ways: with {parts} as parts, or as classes together with "
        f"{rest}. If these are parts, move {rest} away, or give folder:{alone} alone; if all "
        f"are classes, put them into a folder train below {root.name}"
    )


def _refuse_hidden_parts(root: Path, classes: Sequence[Path]) -> None:
    """Refuse classes that are called as if they were parts, or that parts lie below.

    Raises:
        BadRequest: names both readings, and what to do.
    """
    hints = {path.name: hints_of(path.name) for path in classes}
    training = [name for name, parts in hints.items() if parts == {"train"}]
    testing = [name for name, parts in hints.items() if parts and "train" not in parts]
    if training and testing and any(subfolders(root / name) for name in training):
        raise BadRequest(
            f"{root} can be read in two ways: with {_few(training)} and {_few(testing)} as parts, "
            "or with all its folders as classes. If these are parts, call them train and test; "
            f"if they are classes, put them into a folder train below {root.name}"
        )
    _refuse_parts_below_classes(root, classes)


def _refuse_parts_below_classes(root: Path, classes: Sequence[Path]) -> None:
    """Refuse classes that have training and test folders of their own.

    Raises:
        BadRequest: names the first.
    """
    for path in classes:
        below = {part_of(one.name): one.name for one in subfolders(path)}
        tested = below.get("test") or below.get("val")
        if "train" in below and tested:
            raise BadRequest(
                f"{root} has parts below a class: {path.name}/{below['train']} and "
                f"{path.name}/{tested}; give folder:{path} where that is the whole set, or put the "
                f"parts above the classes, as in train/{path.name} and test/{path.name}"
            )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f", … ({len(names)} in all)" if len(names) > 5 else "")
