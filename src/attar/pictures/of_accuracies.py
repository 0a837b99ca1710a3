"""Pictures of a job that show accuracies: over iterations, and over settings."""

from __future__ import annotations

from attar.errors import BadRequest
from attar.networks import make_for
from attar.pictures import curves, images, measuring, settings
from attar.pictures.job import Job
from attar.pictures.picture import Picture
from attar.pictures.subjects import Subject, check_alike
from attar.training import card as find_card


def check_accuracy(job: Job) -> None:
    """Refuse a job of which no accuracies over iterations are known or can be measured."""
    if job.options.repeats is not None:
        for one in job.subjects:
            _ = one.snapshots
            _check_training(job, one)
        check_alike(job.subjects)
    elif not (measuring.validations(job.subjects) or measuring.measured(job.subjects)):
        raise BadRequest(
            "the logs hold no validations ('attar condense … --validation 0.1' adds some), and no "
            "snapshots were evaluated (--repeats 3 does, where 'attar condense … --snapshots 10' "
            "kept some)"
        )


def _check_training(job: Job, subject: Subject) -> None:
    """Refuse a card, or networks for images of this size, that do not exist."""
    how, header = measuring.defaults(subject.artefact, job.measuring()), subject.artefact.header
    find_card(how["card"], how["epochs"])
    for name in how["networks"]:
        make_for(name, header.shape, len(header.class_names))


def accuracy(job: Job) -> list[Picture]:
    """Return accuracies over iterations, measuring those of snapshots where asked to."""
    if job.options.repeats is not None:
        for one in job.subjects:
            how = measuring.defaults(one.artefact, job.measuring())
            measuring.measure(one, job.splits, repeats=job.options.repeats, tell=job.tell, **how)
    made = []
    found = measuring.validations(job.subjects)
    if found:
        note = "Each is of one network, trained in brief and tested on held-out training images."
        made.append(
            curves.course(
                found,
                name="accuracy-validation",
                measured="held-out training images",
                caption=note,
            )
        )
    tested = measuring.measured(job.subjects)
    words = settings.told(list(tested))
    for protocol, lines in tested.items():
        counts = {len(values) for line in lines for values in line.points.values()}
        each = f"{min(counts)} network{'s' if counts != {1} else ''}"
        caption = f"Of {each} per iterate ({words[protocol]}), mean ± standard deviation."
        made.append(
            curves.course(
                lines,
                name=_named("accuracy-test", words[protocol], len(tested)),
                measured="test images",
                caption=caption,
            )
        )
    return made


def check_sweep(job: Job) -> None:
    """Refuse a job without two evaluated sets that differ in one setting alone."""
    entries = [one.entry for one in job.subjects]
    silent = [one for one in job.subjects if not settings.accuracies(one.entry)]
    if len(entries) - len(silent) < 2:
        why = silent[0].entry.remark or "not evaluated" if silent else "it is the only one"
        raise BadRequest(
            "two or more evaluated artefacts are needed, which differ in rank, learning rate or "
            f"iterations ({(silent or job.subjects)[0].path}: {why})"
        )
    if not settings.sweeps(entries):
        names = ", ".join(setting.words for setting in settings.SETTINGS)
        raise BadRequest(f"no two of the evaluated artefacts differ in one of these alone: {names}")


def sweep(job: Job) -> list[Picture]:
    """Return accuracies over every setting that varies alone."""
    found = settings.sweeps([one.entry for one in job.subjects])
    words = settings.told(list(dict.fromkeys(protocol for _, protocol in found)))
    made = []
    for (setting, protocol), lines in found.items():
        caption = f"Of {words[protocol]}, mean ± standard deviation of a point's networks."
        made.append(
            curves.sweep(
                lines,
                name=_named(f"sweep-{setting.name}", words[protocol], len(words)),
                setting=setting.words,
                caption=caption,
            )
        )
    return made


def _named(name: str, words: str, ways: int) -> str:
    return name if ways == 1 else f"{name}-{images.slug(words)}"
