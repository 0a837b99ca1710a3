"""`attar.write_report`: the page of one set, or of several side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from attar import pictures as drawing
from attar.errors import BadRequest
from attar.files import check_writable
from attar.report import read_entries, write_comparison
from attar.report.markup import Markup
from attar.report.single import write_entry

# classes of a grid inside a page
_MOST_CLASSES = 20


def write_report(
    artefacts: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    ipc: int | None = None,
    evaluations: Sequence[str | Path] = (),
    title: str | None = None,
    pictures: Sequence[str] | None = None,
    data: str | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Path:
    """Write one HTML page that shows an artefact, or several side by side.

    What `attar evaluate` kept beside them is shown.

    Args:
        artefacts: path of one, or paths of several.
        output: the page, ending in .html; one that is there is replaced.
        ipc: read every artefact at this smaller memory in images per class, as `attar.load` does.
        evaluations: files of evaluations of these artefacts kept elsewhere.
        title: heading of the page.
        pictures: kinds to draw into it, such as ``["spectrum", "tsne"]`` (`attar.pictures.KINDS`).
        data: source of the real images for these; None for that of the first artefact.
        tell: told what is being drawn.

    Returns:
        The path of the page.

    Raises:
        BadRequest: no artefact is given, or a name or a kind that there is not.
        ArtefactError: a file is no artefact.
    """
    paths = [artefacts] if isinstance(artefacts, str | Path) else artefacts
    own, kept, page = [Path(one) for one in paths], [Path(one) for one in evaluations], Path(output)
    if not own:
        raise BadRequest(
            "no artefact is given: name one or several, such as attar report a.safetensors "
            "b.safetensors -o report.html"
        )
    check_writable(page, example="report.html")
    if page.suffix not in (".html", ".htm"):
        raise BadRequest(f"-o {page}: the name must end in .html")
    entries = read_entries(own, kept, ipc)
    # a page of many classes should still be sent and opened with ease
    how = drawing.Options(ipc=ipc, most_classes=_MOST_CLASSES)
    more = [("Pictures", _pictures(own, kept, pictures, data, how, tell))]
    if len(entries) == 1:
        write_entry(page, entries[0], title=title, more=more)
    else:
        write_comparison(page, entries, title=title, more=more)
    return page


def _pictures(
    artefacts: Sequence[Path],
    evaluations: Sequence[Path],
    kinds: Sequence[str] | None,
    data: str | None,
    how: drawing.Options,
    tell: Callable[[str], None],
) -> Markup:
    """Return the pictures asked for, and those that cost next to nothing."""
    made = drawing.draw_if_at_hand(artefacts, evaluations, how)
    if kinds is not None:
        drawn = drawing.draw(
            artefacts,
            kinds=kinds,
            evaluations=evaluations,
            data=data,
            options=how,
            tell=tell,
            said="--pictures",
        )
        # what was asked for comes first, and nothing twice
        asked = {one.name for one in drawn.pictures}
        made = [*drawn.pictures, *(one for one in made if one.name not in asked)]
    return drawing.figures(made)
