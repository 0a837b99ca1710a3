"""HTML by construction: text is escaped unless it is markup already."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from attar.text import printable
from attar.unplaced import without_folders

# attributes that people read
_TEXTS = frozenset({"alt", "aria_label", "data_label", "title"})
# elements that have no end tag
_VOID = frozenset({"img", "input", "meta", "wbr"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escape(text: object) -> Markup:
    """Return ``text`` as HTML that shows it literally; markup stays as it is.

    Pages are sent to others, so folders of this machine are left out of the paths in it.
    """
    return text if isinstance(text, Markup) else _literally(without_folders(str(text)))


def _literally(text: object) -> Markup:
    return Markup(html.escape(printable(str(text), keep="\t\n")))


def join(*parts: object, by: str = "") -> Markup:
    """Return the parts, escaped where they are plain text, one after the other."""
    return Markup(by.join(map(escape, parts)))


def breakable(text: object) -> Markup:
    """Return ``text`` so that a long name may break after a dot, an underscore or a slash."""
    told = without_folders(str(text))
    return join(*re.split(r"(?<=[._/])(?=[^\W\d])", told), by="<wbr>")


def tag(element: str, /, *children: object, **attributes: object) -> Markup:
    """Return an element.

    Args:
        element: its name.
        *children: markup, or text to be escaped.
        **attributes: ``class_`` is class, ``aria_label`` is aria-label; None leaves one out.

    Example:
        >>> tag("p", "1 < 2", class_="note")
        '<p class="note">1 &lt; 2</p>'
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_attribute(name, value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    if element in _VOID:
        return Markup(f"<{element}{written}>")
    return Markup(f"<{element}{written}>{join(*children)}</{element}>")


def _attribute(name: str, value: object) -> str:
    # others hold addresses, pictures and shapes, in which a stroke begins no path
    return escape(value) if name in _TEXTS else _literally(value)


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    caption: object,
    emphasised: int | None = None,
    numeric: Sequence[int] = (),
) -> Markup:
    """Return a table that becomes a list of cards where there is no room for columns.

    Roles are written out, because a table that CSS lays out otherwise loses them.

    Args:
        heads: of the columns.
        rows: cells; the first of each row is its header.
        caption: what the table says.
        emphasised: the row that matters most, if any.
        numeric: columns to be set flush right.
    """

    def style(column: int) -> str | None:
        return "number" if column in numeric else None

    def cells(row: Sequence[object]) -> Markup:
        first, *others = row
        return join(
            tag("th", first, scope="row", role="rowheader"),
            *(
                tag("td", cell, role="cell", class_=style(column), data_label=heads[column])
                for column, cell in enumerate(others, start=1)
            ),
        )

    head = join(
        *(
            tag("th", name, scope="col", role="columnheader", class_=style(column))
            for column, name in enumerate(heads)
        )
    )
    body = join(
        *(
            tag("tr", cells(row), role="row", class_="best" if index == emphasised else None)
            for index, row in enumerate(rows)
        )
    )
    return tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", head, role="row"), role="rowgroup"),
        tag("tbody", body, role="rowgroup"),
        role="table",
    )


def pairs(items: Sequence[tuple[object, object]], **attributes: object) -> Markup:
    """Return names and their values as a description list."""
    return tag(
        "dl",
        *(tag("div", tag("dt", name), tag("dd", value)) for name, value in items),
        **attributes,
    )
