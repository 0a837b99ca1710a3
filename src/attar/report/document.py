"""The shell of a page: one HTML file that needs nothing else, and runs its own script at most."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from attar.files import write_text
from attar.report.markup import Markup, join, tag
from attar.unplaced import without_folders

# Nothing is fetched and nothing is run, whatever a name or a note may contain.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'"


def page(
    title: str,
    *,
    kicker: str,
    lead: Markup,
    notes: Iterable[object] = (),
    sections: Sequence[tuple[str, Markup]],
    script: str = "",
) -> str:
    """Return a page.

    Args:
        title: its heading.
        kicker: what kind of page it is, above the heading.
        lead: what it says, in one or two sentences.
        notes: paragraphs below the lead.
        sections: headings and what is below them; sections without content are left out.
        script: of this package, the only one that a browser lets it run.
    """
    body = join(
        tag(
            "header",
            tag("p", f"Attar · {kicker}", class_="kicker"),
            tag("h1", title),
            tag("p", lead, class_="lead"),
            *(tag("p", note, class_="note") for note in notes),
        ),
        tag("main", *(_section(name, content) for name, content in sections if content)),
        tag("script", Markup(script)) if script else "",
    )
    return document(title, body, f"{_POLICY}; {allowing(script)}" if script else _POLICY)


def allowing(script: str) -> str:
    """Return the part of a policy that lets one script run, told by its digest."""
    found = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return f"script-src 'sha256-{found}'"


def write_page(path: Path, title: str, **content: Any) -> None:
    """Write what `page` returns, atomically.

    Raises:
        RunFailed: the file could not be written.
    """
    write_text(path, page(title, **content))


def document(title: str, body: Markup, policy: str = _POLICY) -> str:
    """Return a body with the head and the style that every page has.

    Args:
        title: of the window.
        body: what it shows.
        policy: what a browser lets it fetch and run: nothing.
    """
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    head = join(
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(style)),
    )
    page = tag("html", tag("head", head), tag("body", body), lang="en")
    return f"<!doctype html>\n{page}\n"


def _section(name: str, content: Markup) -> Markup:
    anchor = name.lower().replace(" ", "-")
    return tag("section", tag("h2", name, id=anchor), content, aria_labelledby=anchor)


def command_block(command: str) -> Markup:
    """Return a command to be copied; lines do not break within its options."""
    words = re.split(r"(\s+)", without_folders(command))
    parts = [tag("span", word) if word.startswith("-") else word for word in words]
    return tag("pre", tag("code", *parts))
