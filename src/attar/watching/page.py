"""The page around the report of a run that goes on: how far it is, and how much is left."""

from __future__ import annotations

from pathlib import Path

from attar.report.document import allowing, document
from attar.report.markup import Markup, join, tag
from attar.report.slider import SCRIPT as SLIDER

# that of a report does not run where the report is put into this page
_SCRIPT = SLIDER + Path(__file__).with_name("live.js").read_text(encoding="utf-8")
# this script alone runs, and it asks nobody else
POLICY = (
    f"default-src 'none'; connect-src 'self'; img-src data:; {allowing(_SCRIPT)}; "
    "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
# these go with the answer; a page cannot say of itself who may show it in a frame
SENT = f"{POLICY}; frame-ancestors 'none'"


def live_page(title: str) -> str:
    """Return the page, on which the script of this part fills in what the run says.

    Args:
        title: its heading, before the report has one.
    """
    body = join(
        tag(
            "div",
            tag("p", "reading", id="status", role="status"),
            tag("progress", max="1", value="0", aria_label="share of the run that is done"),
            tag("dl", id="numbers"),
            class_="live",
        ),
        tag("div", tag("header", tag("h1", title)), id="report"),
        tag("script", Markup(_SCRIPT)),
    )
    return document(title, body, POLICY)
