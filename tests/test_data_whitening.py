import copy

import numpy as np
import pytest
import torch

from attar.data.whitening import KINDS, MOST_FEATURES, Whitening, fit_whitening
from attar.errors import ArtefactError, BadRequest

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)


def photographs(count: int, seed: int = 0, height: int = 4, width: int = 5) -> torch.Tensor:
    """Correlated uint8 colour images, so that there is something to whiten."""
    generator = torch.Generator().manual_seed(seed)
    features = 3 * height * width
    mixing = torch.randn(features, features, generator=generator) * 8
    flat = torch.randn(count, features, generator=generator) @ mixing / features**0.5 * 4 + 120
    return flat.clamp(0, 255).round().to(torch.uint8).view(count, 3, height, width)


def reference(kind: str, images: torch.Tensor, strength: float = 0.1) -> np.ndarray:
    """The published formulas, one after the other, in float64 NumPy; returns whitened rows."""
    pixels = images.numpy().astype(np.float64) / 255
    n = len(pixels)
    if kind == "frepo":
        pixels = (pixels - np.reshape(MEAN, (1, 3, 1, 1))) / np.reshape(STD, (1, 3, 1, 1))
    x = pixels.reshape(n, -1)
    d = x.shape[1]
    if kind in ("rtp", "kip"):
        x = x - x.mean(axis=1, keepdims=True)
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    else:
        x = x - x.mean(axis=0)
    covariance = np.zeros((d, d))
    for row in x:
        covariance += np.outer(row, row)
    covariance /= n - 1 if kind == "mtt" else n
    if kind == "mtt":
        u, s, _ = np.linalg.svd(covariance)
        return x @ (u @ np.diag((s + strength) ** -0.5) @ u.T)
    if kind == "rtp":
        values, vectors = np.linalg.eigh(covariance)
        regularised = values + strength * values.sum() / d
        return x @ (vectors @ np.diag(regularised**-0.5) @ vectors.T)
    added = strength * np.trace(covariance) / d
    u, s, _ = np.linalg.svd(covariance + added * np.eye(d))
    roots = s**-0.5
    if n < d:
        roots[n:] = 1
    return x @ (u @ np.diag(roots) @ u.T)


def fitted(kind: str, images: torch.Tensor, **options: float) -> tuple[Whitening, torch.Tensor]:
    """The whitening and the float inputs that it is for."""
    pixels = images.float() / 255
    if kind != "frepo":
        return fit_whitening(kind, images, chunk=37, **options), pixels
    mean, std = (torch.tensor(one).view(1, 3, 1, 1) for one in (MEAN, STD))
    whitening = fit_whitening(kind, images, mean=MEAN, std=STD, chunk=37, **options)
    return whitening, (pixels - mean) / std


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [300, 40])
def test_equals_slow_reference(kind: str, count: int) -> None:
    images = photographs(count)
    whitening, inputs = fitted(kind, images)
    got = whitening.apply(inputs).flatten(1).double().numpy()
    np.testing.assert_allclose(got, reference(kind, images), atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("kind", ["rtp", "kip"])
def test_strength_is_the_regulariser(kind: str) -> None:
    images = photographs(200)
    whitening, inputs = fitted(kind, images, strength=100.0)
    got = whitening.apply(inputs).flatten(1).double().numpy()
    np.testing.assert_allclose(got, reference(kind, images, 100.0), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_output_is_white_where_the_regulariser_is_small(kind: str) -> None:
    whitening, inputs = fitted(kind, photographs(2000), strength=1e-9 if kind == "mtt" else 1e-7)
    rows = whitening.apply(inputs).flatten(1).double()
    covariance = rows.T @ rows / len(rows)
    # an image without its mean has one direction less: there the covariance is zero
    values = torch.linalg.eigvalsh(covariance)
    lost = 1 if kind in ("rtp", "kip") else 0
    assert torch.all((values[lost:] - 1).abs() < 0.01)
    assert torch.all(values[:lost].abs() < 0.01)


@pytest.mark.parametrize("kind", ["mtt", "frepo"])
def test_invert_is_exact(kind: str) -> None:
    whitening, inputs = fitted(kind, photographs(300))
    torch.testing.assert_close(whitening.invert(whitening.apply(inputs)), inputs)


@pytest.mark.parametrize("kind", ["rtp", "kip"])
def test_invert_is_exact_up_to_mean_and_scale(kind: str) -> None:
    whitening, inputs = fitted(kind, photographs(300))
    back = whitening.invert(whitening.apply(inputs))
    shape = torch.nn.functional.normalize
    given, got = ((one - one.mean((1, 2, 3), True)).flatten(1) for one in (inputs, back))
    torch.testing.assert_close(shape(got), shape(given), atol=1e-4, rtol=1e-4)
    # what was lost is replaced by the average
    assert float(back.mean()) == pytest.approx(float(inputs.mean()), abs=1e-4)
    assert float(got.norm(dim=1).mean()) == pytest.approx(float(given.norm(dim=1).mean()), rel=1e-3)
    torch.testing.assert_close(whitening.apply(back), whitening.apply(inputs), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_do_not_matter(kind: str) -> None:
    images = photographs(150)
    one, many = (fit_whitening(kind, images, chunk=chunk) for chunk in (150, 11))
    torch.testing.assert_close(one.matrix, many.matrix, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(one.mean, many.mean)


def test_floats_in_0_1_fit_like_bytes() -> None:
    images = photographs(150)
    one, two = fit_whitening("mtt", images), fit_whitening("mtt", images.float() / 255)
    torch.testing.assert_close(one.matrix, two.matrix)


def test_rtp_and_kip_differ_only_with_few_images() -> None:
    many, few = photographs(100), photographs(30)
    assert torch.equal(fit_whitening("rtp", many).matrix, fit_whitening("kip", many).matrix)
    assert not torch.allclose(fit_whitening("rtp", few).matrix, fit_whitening("kip", few).matrix)


def test_constant_image_becomes_zeros() -> None:
    whitening = fit_whitening("rtp", photographs(100))
    out = whitening.apply(torch.full((1, 3, 4, 5), 0.7))
    assert float(out.abs().max()) < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_stored_form_gives_the_same_transform(kind: str) -> None:
    whitening, inputs = fitted(kind, photographs(120))
    stored = whitening.tensors()
    assert stored["triangle"].numel() == 60 * 61 // 2
    again = Whitening.from_tensors(kind, stored)
    assert again == whitening
    assert torch.equal(again.apply(inputs), whitening.apply(inputs))
    assert torch.equal(again.invert(inputs), whitening.invert(inputs))


def test_stored_form_is_checked() -> None:
    stored = fit_whitening("mtt", photographs(120)).tensors()
    with pytest.raises(ArtefactError, match="lacks triangle"):
        Whitening.from_tensors("mtt", {k: v for k, v in stored.items() if k != "triangle"})
    with pytest.raises(ArtefactError, match="60 features need 1830"):
        Whitening.from_tensors("mtt", stored | {"triangle": stored["triangle"][1:]})
    with pytest.raises(BadRequest, match="unknown whitening 'zca'"):
        Whitening.from_tensors("zca", stored)


def test_apply_is_differentiable_and_works_after_inference_mode() -> None:
    whitening, inputs = fitted("rtp", photographs(80))
    double = inputs[:2].double()
    with torch.inference_mode():
        whitening.invert(whitening.apply(double))
    double.requires_grad_()
    assert torch.autograd.gradcheck(whitening.apply, (double,))
    assert torch.autograd.gradcheck(whitening.invert, (double,))


def test_copies_compare_equal() -> None:
    whitening = fit_whitening("mtt", photographs(80))
    assert copy.deepcopy(whitening) == whitening
    assert whitening != fit_whitening("mtt", photographs(80, seed=1))
    assert whitening != "mtt"


def test_refusals() -> None:
    images = photographs(20)
    with pytest.raises(BadRequest, match=r"unknown whitening 'mt'.*did you mean 'mtt'"):
        fit_whitening("mt", images)
    with pytest.raises(BadRequest, match="two or more"):
        fit_whitening("mtt", images[:1])
    with pytest.raises(BadRequest, match="strength 0"):
        fit_whitening("mtt", images, strength=0)
    with pytest.raises(BadRequest, match=f"at most {MOST_FEATURES}"):
        fit_whitening("mtt", torch.zeros(2, 3, 65, 65, dtype=torch.uint8))
    with pytest.raises(BadRequest, match="48 features, but the whitening was fitted on 60"):
        fit_whitening("mtt", images).apply(torch.rand(2, 3, 4, 4))
