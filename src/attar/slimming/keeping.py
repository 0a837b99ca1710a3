"""A smaller artefact that is a part of a larger one: nothing is trained."""

from __future__ import annotations

from typing import Any

import torch

from attar.artefact.artefact import Artefact
from attar.artefact.coding import encoded
from attar.artefact.header import READ_FROM, Header
from attar.artefact.loading import load
from attar.condensing.paths import Paths
from attar.condensing.request import Request
from attar.errors import BadRequest
from attar.rng import Key
from attar.slimming.components import drawn, ordered
from attar.slimming.request import SlimRequest
from attar.slimming.sizes import components_for
from attar.storage import sizes_of, storage_of
from attar.synthetic import NEVER, PLAIN, Layout, Synthetic, first_components, images_within


@torch.no_grad()
def keep(
    artefact: Artefact, run: Request, slim: SlimRequest, command: str, told: dict[str, Any]
) -> Artefact:
    """Return the part that is kept, written where the request says.

    Args:
        artefact: the larger set.
        run: the memory, storage, seed and output of the smaller one.
        slim: what was asked for.
        command: that makes it again.
        told: about the slimming, for the provenance.

    Raises:
        BadRequest: to be resumed is a file that was made otherwise.
    """
    kept = _drawn(artefact, run) if slim.random else _first(artefact, run, slim)
    made = _carded(artefact, kept.requires_grad_(False), run, slim, command, told)
    if run.output is None:
        return made
    if run.resume and run.output.exists():
        return _same_as(made, run)
    made.save(run.output)
    # what an earlier run left of another set
    paths = Paths(run.output)
    for path in (paths.checkpoint, paths.end, paths.last, paths.log):
        path.unlink(missing_ok=True)
    return made


def _first(artefact: Artefact, run: Request, slim: SlimRequest) -> Synthetic:
    whole = ordered(artefact, slim.share)
    count = components_for(whole, run.ipc or 1, run.stored_as)
    return first_components(whole, count, expand=slim.expand)


def _drawn(artefact: Artefact, run: Request) -> Synthetic:
    form = artefact.synthetic.parametrization
    if form.smaller() is not None:
        # its components were ordered for the images that they had
        form = PLAIN
    key = Key(run.seed).fold("random")
    storage, whole = storage_of(run.stored_as), artefact.header.layout

    def coded(layout: Layout) -> dict[str, int]:
        if layout.per_class > whole.per_class:
            return dict.fromkeys(form.shapes(layout), NEVER)
        part = drawn(artefact, layout.per_class, form, key, learned_labels=False)
        return sizes_of(encoded(part, storage, artefact.preprocessing))

    count = images_within(run.ipc or 1, whole, form, storage, coded)
    return drawn(artefact, count, form, key)


def _carded(
    artefact: Artefact,
    synthetic: Synthetic,
    run: Request,
    slim: SlimRequest,
    command: str,
    told: dict[str, Any],
) -> Artefact:
    """Return the artefact with what its header says, its values rounded as they are stored."""
    header, budget = artefact.header, run.budget()
    # a set with new labels needs a card that takes label values as they are
    new_labels = synthetic.labels is not None and not header.learned_labels
    own = slim.card or ("frepo" if new_labels else None)
    provenance = {name: said for name, said in header.provenance.items() if name != READ_FROM}
    changed = header.model_copy(
        update={
            "images_per_class": synthetic.layout.per_class,
            "parametrization": synthetic.parametrization.describe(),
            "learned_labels": synthetic.labels is not None,
            "storage": run.stored_as,
            "budget": {
                **budget.as_dict(),
                "limit": budget.limit(len(header.class_names), header.shape),
            },
            "seed": run.seed if slim.random else header.seed,
            # these hold of the larger set
            "nested": False,
            "validation": None,
            "step": 0,
            "iterate": "last",
            "settings": {**header.settings, **({"card": own} if own else {})},
            "provenance": {**provenance, "command": command, "slimmed": told},
        }
    )
    return Artefact.rounded(changed, synthetic, artefact.preprocessing, artefact.learned)


def _same_as(made: Artefact, run: Request) -> Artefact:
    """Return the artefact that is there already, if it was made alike."""
    assert run.output is not None
    found = load(run.output)

    def asked(header: Header) -> dict[str, Any]:
        said = header.model_dump(mode="json")
        names = ("parametrization", "learned_labels", "storage", "budget", "settings", "seed")
        return {name: said[name] for name in names} | {"by": said["provenance"].get("slimmed")}

    if asked(found.header) != asked(made.header):
        raise BadRequest(
            f"--resume: {run.output} was made otherwise; --overwrite replaces it, or choose "
            "another name"
        )
    return found
