"""Sets that stay between black and white while they are made (``--bounded``)."""

from __future__ import annotations

import dataclasses

from attar.condensing.request import Request
from attar.data import LabelledImages, Preprocessing
from attar.errors import BadRequest
from attar.methods import Recipe
from attar.storage import Float32, codes_pictures, storage_of
from attar.synthetic import Parametrization, within


def bounded(recipe: Recipe, request: Request, train: LabelledImages) -> Recipe:
    """Return a recipe whose images stay between black and white, where that is asked for.

    A form whose images are as far out as what it stores stays as it is: there the run moves what
    is stored back after every update. Any other is clipped when it is read.

    Raises:
        BadRequest: the rows have no black and white, or are whitened.
    """
    whitened = train.preprocessing.whitening is not None
    if not request.bounded and (not recipe.bounded or whitened or not train.modality.bounded):
        return dataclasses.replace(recipe, bounded=False)
    if not train.modality.bounded:
        raise BadRequest(
            f"--bounded: {train.modality.name} have no black and white to stay between; leave it "
            "out"
        )
    whitening = train.preprocessing.whitening
    if whitening is not None:
        raise BadRequest(
            f"--bounded: under the whitening {whitening.kind!r} black and white are no bounds of "
            "single values, since each depends on all pixels; give --zca none, or leave it out"
        )
    form = recipe.parametrization
    if moves_back(form, request):
        return recipe
    form = within(form, *black_and_white(train.preprocessing))
    return dataclasses.replace(recipe, parametrization=form)


def moves_back(form: Parametrization, request: Request) -> bool:
    """Whether what is stored can be kept within bounds: others are clipped when they are read."""
    # what is rounded when it is stored may be rounded outwards
    return form.keeps_bounds and storage_of(request.stored_as).of("images.") == Float32()


def keeps_within(form: Parametrization, request: Request) -> bool:
    """Whether the run moves what is stored back: pictures of a codec, too, which would clip it."""
    pictures = bool(form.pictures) and codes_pictures(storage_of(request.stored_as))
    return moves_back(form, request) or pictures


def black_and_white(preprocessing: Preprocessing) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return what 0 and 1 become in each channel, without whitening."""
    pairs = list(zip(preprocessing.mean, preprocessing.std, strict=True))
    return tuple(-mean / std for mean, std in pairs), tuple((1 - mean) / std for mean, std in pairs)
