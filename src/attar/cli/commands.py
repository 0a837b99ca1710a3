"""The commands by name; each carries its own options and what it does."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import tyro

from attar.cli.auditing import Audit
from attar.cli.benching import Bench
from attar.cli.condensing import Condense
from attar.cli.continual import Continual
from attar.cli.demo import Demo
from attar.cli.evaluating import Evaluate
from attar.cli.experts import Experts
from attar.cli.exporting import Export
from attar.cli.federated import Federated
from attar.cli.importing import Import
from attar.cli.listing import Cards, Methods, Networks, Sources
from attar.cli.merging import Merge
from attar.cli.pictures import Pictures
from attar.cli.published import Published
from attar.cli.ranking import Rank
from attar.cli.relabelling import Relabel
from attar.cli.reporting import Report
from attar.cli.sharing import Push
from attar.cli.showing import Show
from attar.cli.slimming import Slim
from attar.errors import unknown
from attar.hub import is_address, local
from attar.text import printable

Command = (
    Demo
    | Condense
    | Slim
    | Relabel
    | Experts
    | Evaluate
    | Audit
    | Rank
    | Show
    | Export
    | Push
    | Import
    | Merge
    | Report
    | Methods
    | Sources
    | Networks
    | Cards
    | Published
    | Bench
    | Continual
    | Federated
    | Pictures
)

# fields of commands that name sets
_SETS = ("artefact", "artefacts")
# options that take several values, which may also be given one at a time
_SEVERAL = ("--set", "--slim-set", "--evaluation")
# of a suite's data sets each has a source; elsewhere there is one
_SEVERAL_OF = {"bench": ("--data",)}


def with_values_joined(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with all values of a repeated ``--set`` behind the first of them."""
    several = (*_SEVERAL, *_SEVERAL_OF.get(next(iter(arguments), ""), ()))
    current: list[str] = []
    parts, first = [current], dict[str, list[str]]()
    for word in arguments:
        name, equals, value = word.partition("=")
        if name in several:
            if name not in first:
                first[name] = [name]
                parts.append(first[name])
            current = first[name]
            current += [value] if equals else []
            continue
        if word.startswith("-"):
            current = []
            parts.append(current)
        current.append(word)
    return [word for part in parts for word in part]


def with_usual_names(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with a value after every ``--baselines`` that has none.

    What follows it is no name of a baseline where it is an option or a file.
    """
    found: list[str] = []
    for index, word in enumerate(arguments):
        found.append(word)
        after = arguments[index + 1 : index + 2]
        if word == "--baselines" and (not after or after[0][:1] == "-" or "." in after[0]):
            found.append("random,whole")
    return found


def parse(arguments: Sequence[str]) -> Command:
    """Return the command that the arguments ask for.

    Raises:
        AttarError: there is no such command, or an option's value is refused. Unknown options
            end the process with status 2.
    """
    words = with_usual_names(with_values_joined(arguments))
    known = [kind.__name__.lower() for kind in get_args(Command)]
    if words and words[0] not in known and not words[0].startswith("-"):
        raise unknown("command", words[0], known)
    shown = list(map(printable, words))
    if shown != words:
        # what is refused here is shown as it is given, so it is first given in this form
        _parse(shown)
    return _parse(words)


def with_sets_at_hand(command: Command) -> Command:
    """Return a command in which every set of the Hub is the file that it was downloaded to.

    Raises:
        AttarError: one cannot be had.
    """
    at_hand: dict[str, Any] = {}
    for name in _SETS:
        given = getattr(command, name, None)
        if isinstance(given, tuple) and any(map(is_address, given)):
            at_hand[name] = tuple(map(local, given))
        elif isinstance(given, Path) and is_address(given):
            at_hand[name] = local(given)
    return dataclasses.replace(command, **at_hand) if at_hand else command


def _parse(words: Sequence[str]) -> Command:
    return tyro.cli(
        Command,  # pyright: ignore[reportArgumentType]
        prog="attar",
        description="Dataset condensation: a large labelled image set in, a few kilobytes out.",
        args=words,
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
    )
