"""Pictures of a job that show images: grids, iterations, spectra, features."""

from __future__ import annotations

import numpy as np

from attar import compute as computing
from attar.evaluation.given import asked_networks
from attar.networks import make_for
from attar.pictures import features, images, measuring
from attar.pictures import spectrum as spectra
from attar.pictures import tsne as plane
from attar.pictures.job import Job
from attar.pictures.picture import Picture
from attar.pictures.subjects import check_alike, inputs_like, preprocessing_key

# spectra of real images that are drawn as one
_SAME = 0.1


def grid(job: Job) -> list[Picture]:
    """Return the images of every set by class."""
    shown, most = job.options.shown, job.options.most_classes
    return [images.grid(one.name, one.artefact, shown, most) for one in job.subjects]


def iterations(job: Job) -> list[Picture]:
    """Return the images of every set that kept snapshots, over its iterations."""
    shown, most = job.options.shown, job.options.most_classes
    return [
        images.iterations(one.name, one.artefact, one.snapshots, shown, most)
        for one in job.subjects
        if measuring.snapshot_count(one)
    ]


def check_snapshots(job: Job) -> None:
    """Refuse a job in which no set kept snapshots."""
    if not any(measuring.snapshot_count(one) for one in job.subjects):
        # says why, of the first
        _ = job.first.snapshots


def spectrum(job: Job) -> list[Picture]:
    """Return the singular values of a sample of real images and of every set."""
    index = job.sampled()
    real: dict[str, np.ndarray] = {}
    seen = {}
    for one in job.subjects:
        seen.setdefault(preprocessing_key(one.artefact), one)
    for one in seen.values():
        name = f"real images as for {one.name}" if real else "real images"
        train, _ = job.real_like(one)
        values = spectra.singular_values(train.take(index))
        # statistics of two samples of one data set differ too little to be seen
        if not any(np.allclose(values, other, rtol=_SAME) for other in real.values()):
            real[name] = values
    sets = {one.name: spectra.singular_values(one.artefact.images) for one in job.subjects}
    note = f"The real ones are {len(index):,} training images of {job.splits.train.name}."
    return [spectra.spectrum(real, sets, note)]


def check_features(job: Job) -> None:
    """Refuse sets that differ in classes or size, and a network that does not fit them."""
    check_alike(job.subjects)
    header = job.first.artefact.header
    asked = [job.options.network] if job.options.network else None
    (name,) = asked_networks(job.first.artefact, asked)
    make_for(name, header.shape, len(header.class_names))


def tsne(job: Job) -> list[Picture]:
    """Train a network on the real images and return its features of these and of every set."""
    options, first = job.options, job.first.artefact
    train, test = job.real_like(job.first)
    (name,) = asked_networks(first, [options.network] if options.network else None)
    network = make_for(name, train.shape, train.classes)
    epochs = options.feature_epochs
    job.tell(f"training a {network.name} on {len(train):,} real images for {epochs} epochs")
    pixels = network.effort(3.0 * len(train) * epochs)
    extractor = features.train_extractor(
        network,
        train,
        test,
        computing.choose(options.device, options.precision, options.torch_compile, pixels=pixels),
        epochs=epochs,
        dataset=first.header.provenance.get("dataset", train.name),
        key=options.key.fold("features"),
    )
    index = job.sampled()
    clouds = [train.take(index), *(inputs_like(one.artefact, first) for one in job.subjects)]
    job.tell(f"t-SNE of {sum(map(len, clouds)):,} images")
    places = features.embed([extractor.features(part) for part in clouds], options.key)
    names = ["real images", *(one.name for one in job.subjects)]
    labels = [train.labels.cpu()[index]]
    labels += [one.artefact.synthetic.class_of_row for one in job.subjects]
    made = [
        plane.Cloud(*parts) for parts in zip(names, places, map(np.asarray, labels), strict=True)
    ]
    note = f"The features are those of a {extractor.described()}."
    return [plane.tsne(made[0], made[1:], train.class_names, note)]
