"""How options are declared and told: what requests of every kind share; free of torch."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypedDict, TypeVar

import tyro

from attar.errors import BadRequest, unknown

Auto = Literal["auto", "on", "off"]
_R = TypeVar("_R")
Part = TypeVar("Part")

_COLUMNS = ("path_column", "label_column", "split_column")
# the options of reading that bear on the images, and are repeated and recorded
BEARING = (
    *("resize", "classes", "per_class", "test_share", "value_range", "background"),
    *_COLUMNS,
    "name",
)
# the options of reading the data, beside those of a request
READING = ("data_dir", "in_memory", *BEARING)


class ReadingOptions(TypedDict, total=False):
    """How the data are read; `attar.load_source` says what each does."""

    data_dir: str | Path | None
    in_memory: Auto
    name: str | None
    resize: int | tuple[int, int] | None
    classes: int | str | Sequence[str | int] | None
    per_class: int | None
    test_share: float | None
    value_range: str | tuple[float, float] | None
    background: str | None
    path_column: str | None
    label_column: str | None
    split_column: str | None


def _hint(default: str) -> str:
    """Say nothing of a default that is only 'left out', or empty."""
    default = default.removeprefix("['").removesuffix("']")
    return "" if default in ("None", "", "''", "[]") else f"(default: {default})"


def option(metavar: str, *aliases: str, kind: Any = None, name: str | None = None) -> object:
    """Return how an option that may be left out appears in help.

    Args:
        metavar: stands for its value.
        *aliases: other names.
        kind: what its text is read as; by default what the annotation says.
        name: what the command line calls it, where that is not the field's name.
    """
    return tyro.conf.arg(
        name=name,
        metavar=metavar,
        aliases=list(aliases),
        help_behavior_hint=_hint,
        constructor=kind,
    )


def mean_rank(text: str) -> int | None:
    """Return the mean rank in a text such as ``auto:8``; None for ``auto``, that of the form.

    Raises:
        BadRequest: the text is another.
    """
    name, parted, mean = text.partition(":")
    if name != "auto" or (parted and not mean.isdecimal()):
        raise BadRequest(
            f"--rank {text!r}: a whole number is needed, or auto, or auto:8 for a mean rank of 8"
        )
    return int(mean) if parted else None


class Kept(Protocol):
    """What of a request says how its work is kept: all four are options."""

    @property
    def output(self) -> Path | None:
        """The file to be written."""
        ...

    @property
    def resume(self) -> bool:
        """Whether an unfinished one is gone on with."""
        ...

    @property
    def overwrite(self) -> bool:
        """Whether one that is there is replaced."""
        ...

    @property
    def checkpoint_seconds(self) -> float:
        """The longest time between two checkpoints."""
        ...


def check_kept(request: Kept) -> None:
    """Refuse options of keeping that do not go together.

    Raises:
        BadRequest: they do not.
    """
    if not request.checkpoint_seconds >= 0:
        raise BadRequest(f"--checkpoint-seconds {request.checkpoint_seconds:g}: 0 or more")
    if request.resume and request.overwrite:
        raise BadRequest("give --resume or --overwrite, not both")
    if request.resume and request.output is None:
        raise BadRequest("--resume needs -o: the checkpoint lies beside the output")


Whole = Annotated[int | None, option("N", kind=int)]
Number = Annotated[float | None, option("X", kind=float)]
Name = Annotated[str | None, option("NAME")]
NameOrPath = Annotated[Path | str | None, option("NAME", kind=str)]
Classes = Annotated[str | None, option("N or NAMES")]
ValueRange = Annotated[str | None, option("LOW:HIGH", "--range")]
Background = Annotated[str | None, option("COLOUR")]
Settings = Annotated[
    tuple[str, ...] | Mapping[str, Any] | None,
    option("NAME=VALUE", kind=tuple[str, ...], name="set"),
]
Compiling = Annotated[Auto, option("{auto,on,off}", kind=str, name="compile")]
Folder = Annotated[Path | None, option("DIR")]
File = Annotated[Path | None, option("FILE")]


def request_of(kind: type[_R], options: Mapping[str, Any]) -> _R:
    """Return a request of keyword options.

    Args:
        kind: a dataclass whose fields are options, such as `Request`.
        options: fields of it.

    Raises:
        BadRequest: an option that it does not have, or a value that it refuses.
    """
    known = kind.__dataclass_fields__  # pyright: ignore[reportAttributeAccessIssue]
    for name in options:
        if name not in known:
            raise unknown("option", name, known)
    return kind(**options)


def request_and_reading(
    kind: type[_R], options: Mapping[str, Any], given: _R | None = None
) -> tuple[_R, dict[str, Any]]:
    """Return a request of keyword options, and those of them that say how the data are read.

    Args:
        kind: as `request_of` takes it.
        options: fields of it, and of `ReadingOptions`.
        given: a request that stands in place of the fields.

    Raises:
        BadRequest: as `request_of` does, or a request beside such fields.
    """
    reading = {name: options[name] for name in READING if name in options}
    own = {name: value for name, value in options.items() if name not in reading}
    if given is None:
        return request_of(kind, own), reading
    if not isinstance(given, kind):
        raise BadRequest(f"request={given!r}: an attar.{kind.__name__} is needed")
    if own:
        raise BadRequest(
            f"{', '.join(own)}: the request says what is asked for; change it with "
            "dataclasses.replace, or give options alone"
        )
    return given, reading


def read_settings(given: Settings) -> dict[str, Any]:
    """Return settings by name: values, or the texts of ``name=value``.

    Raises:
        BadRequest: a text that is no ``name=value``.
    """
    if isinstance(given, Mapping):
        return {str(name): value for name, value in given.items()}
    pairs: dict[str, Any] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise BadRequest(f"--set {text!r}: write name=value, such as batch_real=64")
        pairs[name.strip()] = value.strip()
    return pairs


def settings_as_texts(given: Settings) -> tuple[str, ...]:
    """Return settings as the command line gives them: ``name=value``."""
    if isinstance(given, Mapping):
        return tuple(f"{name}={value}" for name, value in given.items())
    return tuple(given or ())


def described(network: object) -> str:
    """Return how a call gives this network: a name in quotes, a class, ``MyNet(...)``."""
    if isinstance(network, str):
        return repr(network)
    name = getattr(network, "__name__", "")
    if isinstance(name, str) and name:
        return "lambda: ..." if name == "<lambda>" else name
    return f"{type(network).__name__}(...)"


def with_settings(
    part: Part, given: Mapping[str, Any], option: str = "--set", whole: str = ""
) -> Part:
    """Return a dataclass with some of its fields replaced.

    Args:
        part: an objective, a form, a penalty or a selector.
        given: by name, as values, or as text to be read as what the field holds.
        option: what messages call it.
        whole: the value of that option, where the settings are a part of it.

    Raises:
        BadRequest: an unknown setting, or a value of the wrong kind or that the part refuses.
    """
    own: Any = part
    known = {item.name for item in dataclasses.fields(own)}
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise unknown(f"setting ({option}) of {own.name}", name, known)
        kind = type(getattr(own, name))
        try:
            values[name] = _read(kind, value) if isinstance(value, str) else _taken(kind, value)
        except (ValueError, KeyError):
            wanted, where = _KINDS.get(kind, "another value"), f"{whole}: " if whole else ""
            raise BadRequest(f"{option} {where}{name}={value}: {wanted} is needed") from None
    try:
        return dataclasses.replace(own, **values)
    except BadRequest as error:
        raise naming_option(error, known, option, whole) from None


def naming_option(
    error: BadRequest, settings: Collection[str], option: str = "--set", whole: str = ""
) -> BadRequest:
    """Return a refusal whose message begins with a setting as one that begins with its option.

    A part knows its settings, such as ``batch_real 0: …``, and not what they were given by.

    Args:
        error: of a part; one that says more already stays as it is.
        settings: their names.
        option: and ``whole``, its value, are what messages call it, as in `with_settings`.
        whole: see ``option``.
    """
    found = _REFUSED.match(error.text)
    if found is None or found["name"] not in settings:
        return error
    where, rest = f"{whole}: " if whole else "", error.text[found.end() :]
    return BadRequest(f"{option} {where}{found['name']}={found['value']}: {rest}")


def named_settings(text: str, option: str, whole: str) -> dict[str, str]:
    """Return the settings in a text such as ``rank=2,factor=3``, by name.

    Args:
        text: settings with commas between them; empty for none.
        option: and ``whole``, its value, are what messages call it.
        whole: see ``option``.

    Raises:
        BadRequest: something in it is no setting.
    """
    pairs: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = item.partition("=")
        if not equals or not name.strip():
            raise BadRequest(f"{option} {whole}: {item!r} is no setting; write name=value")
        pairs[name.strip()] = value.strip()
    return pairs


def changed_settings(part: Any, skipped: Collection[str] = ()) -> list[str]:
    """Return, as texts ``name=value``, the fields of a dataclass that are not at their default.

    Args:
        part: an objective, a form or a storage.
        skipped: fields to leave out.
    """
    found: list[str] = []
    for item in dataclasses.fields(part):
        value = getattr(part, item.name)
        if item.name in skipped or value == item.default:
            continue
        told = "/".join(map(str, value)) if isinstance(value, tuple) else str(value)
        found.append(f"{item.name}={told}")
    return found


_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple: "numbers with / between them",
}
# how a part begins the refusal of one of its settings
_REFUSED = re.compile(r"(?P<name>\w+) (?P<value>\S+): ")
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _read(kind: type, text: str) -> Any:
    """Return a value read from text."""
    if kind is bool:
        return _TRUTH[text.lower()]
    if kind is tuple:
        return tuple(float(item) for item in text.split("/") if item.strip())
    if kind not in _KINDS:
        raise ValueError
    return kind(text)


def _taken(kind: type, value: Any) -> Any:
    """Return a value from Python, refused where the field holds another kind."""
    if kind is float and type(value) is int:
        return float(value)
    if kind in _KINDS and not (type(value) is kind or (kind is tuple and type(value) is list)):
        raise ValueError
    return value
