"""Every kind of picture: what it needs, and how it is drawn of a job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attar.data.modality import rows_of
from attar.errors import BadRequest, unknown
from attar.pictures import of_accuracies, of_images
from attar.pictures.job import Job
from attar.pictures.picture import Picture
from attar.pictures.subjects import check_alike


@dataclass(frozen=True)
class Kind:
    """A kind of picture.

    Args:
        name: as on the command line.
        summary: one line for people.
        check: refuses, before any long work, a job that it cannot be drawn of.
        draw: draws it.
        needs_real: whether real images must be read.
        unasked: whether it is drawn where nothing is said and nothing stands against it.
    """

    name: str
    summary: str
    check: Callable[[Job], None]
    draw: Callable[[Job], list[Picture]]
    needs_real: bool = False
    unasked: bool = True


def _shown(job: Job, check: Callable[[Job], None] | None = None) -> None:
    """Refuse artefacts whose rows are no pictures, and what else a kind refuses."""
    for subject in job.subjects:
        artefact = subject.artefact
        if not artefact.modality.gallery:
            raise BadRequest(
                f"{subject.path}: it holds {rows_of(artefact.header.shape)}, of which there are no "
                "pictures; 'attar export --npz' writes the values"
            )
    if check is not None:
        check(job)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("grid", "images by class", _shown, of_images.grid),
        Kind(
            "spectrum",
            "singular values of real and synthetic images",
            lambda job: _shown(job, lambda job: check_alike(job.subjects)),
            of_images.spectrum,
            needs_real=True,
        ),
        Kind(
            "tsne",
            "features of real and synthetic images in the plane",
            of_images.check_features,
            of_images.tsne,
            needs_real=True,
            unasked=False,
        ),
        Kind(
            "iterations",
            "images over the iterations",
            lambda job: _shown(job, of_images.check_snapshots),
            of_images.iterations,
        ),
        Kind(
            "accuracy",
            "accuracy over the iterations",
            of_accuracies.check_accuracy,
            of_accuracies.accuracy,
        ),
        Kind(
            "sweep",
            "accuracy over rank, learning rate, iterations",
            of_accuracies.check_sweep,
            of_accuracies.sweep,
        ),
    )
}


def check_kinds(names: Sequence[str], said: str = "--kind") -> list[str]:
    """Return the kinds asked for, each once; ``said`` is the option that named them.

    Raises:
        BadRequest: an unknown one.
    """
    for name in names:
        if name not in KINDS:
            raise unknown(f"kind of picture ({said})", name, KINDS)
    return list(dict.fromkeys(names))
