"""Images and labels made of ordered components: U·Σ·V, its order, its bytes and its gradients."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import attar
from attar.artefact.artefact import Artefact
from attar.artefact.header import Header
from attar.data import Preprocessing
from attar.errors import BadRequest
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.synthetic import Layout, LowRank, OrderedSVD, Parametrization, Synthetic, planned_ledger
from attar.synthetic.forms.ordered import OrderedImages, OrderedLabels
from attar.synthetic.forms.orthogonal import orthogonal_factor
from attar.tensors import read_tensors
from catalogue import OBJECTIVES, tiny_problem, tiny_run

SHAPE = (2, 4, 5)
FORMS = (OrderedSVD(), OrderedSVD(2), OrderedSVD(1, "class"), OrderedSVD(share="class"))


def made(
    form: Parametrization, classes: int = 3, n: int = 4, labels: bool = True, seed: int = 0
) -> Synthetic:
    """Return a set in which everything that is stored is random, significances of both signs."""
    synthetic = Synthetic(Layout(classes, n, SHAPE), form, labels)
    generator = Key(seed).generator()
    with torch.no_grad():
        for parameter in synthetic.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return synthetic


def images_of(synthetic: Synthetic) -> OrderedImages:
    assert isinstance(synthetic.images, OrderedImages)
    return synthetic.images


def components_of_labels(synthetic: Synthetic) -> nn.Parameter:
    assert isinstance(synthetic.labels, OrderedLabels)
    return synthetic.labels.components


def rows_of(layout: Layout, seed: int = 0) -> Tensor:
    return torch.randn(len(layout), *layout.shape, generator=Key(seed).generator())


def everything(synthetic: Synthetic) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return synthetic(torch.arange(len(synthetic)))


# rows


@pytest.mark.parametrize("form", [*FORMS, LowRank(2, OrderedSVD(share="class"))], ids=repr)
def test_rows_are_the_equation_written_out(form: Parametrization) -> None:
    synthetic = made(form)
    images = images_of(synthetic)
    mixing = images.orthogonal().double()
    values = images.components(torch.arange(images.components.count)).double()
    told = components_of_labels(synthetic).double()
    index = torch.tensor([11, 0, 4, 4, 7])  # of all classes, in no order, one twice
    found = synthetic(index)
    for position, row in enumerate(index.tolist()):
        label, i = divmod(row, 4)
        group = label if len(mixing) > 1 else 0
        image, value = torch.zeros(SHAPE).double(), torch.zeros(3).double()
        for j in range(images.kept):
            share = mixing[group, i, j] * images.significance[group, j].double()
            image += share * values[j * 3 + label]
            value += share * told[j * 3 + label]
        torch.testing.assert_close(found[0][position].double(), image, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found[1][position].double(), value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", FORMS, ids=repr)
def test_rows_of_one_class_are_those_of_the_whole(form: Parametrization) -> None:
    synthetic = made(form)
    whole = everything(synthetic)
    for index in (torch.arange(4, 8), torch.tensor([9]), torch.tensor([10, 1])):
        for part, all_rows in zip(synthetic(index), whole, strict=True):
            torch.testing.assert_close(part, all_rows[index])


@pytest.mark.parametrize("form", FORMS, ids=repr)
def test_gradients_reach_everything_that_is_stored(form: Parametrization) -> None:
    images = images_of(made(form))
    index = torch.tensor([11, 0, 4, 4])
    weights = torch.randn(4, 40, generator=Key(1).generator())

    def value(significance: Tensor, coefficients: Tensor) -> Tensor:
        mixing = orthogonal_factor(coefficients) * significance.unsqueeze(1)
        values = images.components(torch.arange(images.kept * 3))
        values = values.view(images.kept, 3, 40).transpose(0, 1)
        whole = (mixing @ values).flatten(0, 1)
        return (whole[index] * weights).sum()

    leaves = list(images.parameters())
    expected = torch.autograd.grad(value(images.significance, images.coefficients), leaves)
    found = torch.autograd.grad((images(index).flatten(1) * weights).sum(), leaves)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


# U


def matrices() -> list[Tensor]:
    generator = Key(0).generator()
    square = torch.randn(4, 4, generator=generator)
    tall = torch.randn(2, 5, 3, generator=generator)
    equal = torch.linalg.qr(torch.randn(5, 3, generator=generator)).Q * 2.5
    return [torch.eye(4), torch.eye(5, 3), torch.eye(3).expand(2, 3, 3), square, tall, equal]


@pytest.mark.parametrize("number", range(6))
def test_the_gradient_of_the_orthogonal_factor(number: int) -> None:
    matrix = matrices()[number].double().clone().requires_grad_()
    assert torch.autograd.gradcheck(orthogonal_factor, (matrix,))


@pytest.mark.parametrize("number", range(6))
def test_the_orthogonal_factor_is_the_nearest(number: int) -> None:
    matrix = matrices()[number].double()
    found = orthogonal_factor(matrix)
    identity = torch.eye(matrix.shape[-1]).double().expand_as(found.mT @ found)
    torch.testing.assert_close(found.mT @ found, identity, rtol=0, atol=1e-12)
    # Uᵀ·M is the symmetric, positive factor of the polar decomposition
    rest = found.mT @ matrix
    torch.testing.assert_close(rest, rest.mT)
    assert bool((torch.linalg.eigvalsh(rest) > 0).all())
    torch.testing.assert_close(found @ rest, matrix)


@pytest.mark.parametrize("form", [OrderedSVD(), OrderedSVD(2, "class")], ids=repr)
@pytest.mark.parametrize("objective", ["distribution", "gradient"])
def test_u_stays_orthogonal_in_training(form: OrderedSVD, objective: str) -> None:
    problem = tiny_problem(per_class=3)
    learnt = objective == "gradient"
    optimiser = Optimiser(0.05, kind="adam")
    run = tiny_run(OBJECTIVES[objective], problem, form, learned_labels=learnt, optimiser=optimiser)
    start = images_of(run.synthetic).orthogonal().detach().clone()
    for _ in range(20):
        run.advance()
    mixing = images_of(run.synthetic).orthogonal().detach()
    assert (mixing - start).abs().max() > 0.01
    gram = mixing.double().mT @ mixing.double()
    assert (gram - torch.eye(gram.shape[-1])).abs().max() < 1e-5


# order


@given(
    classes=st.integers(2, 4),
    n=st.integers(1, 5),
    kept=st.integers(1, 5),
    share=st.sampled_from(("all", "class")),
    rank=st.sampled_from((0, 2)),
    labels=st.booleans(),
    zero=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(deadline=None, max_examples=60)
def test_settling_sorts_and_leaves_the_rows(
    classes: int, n: int, kept: int, share: str, rank: int, labels: bool, zero: bool, seed: int
) -> None:
    form: Parametrization = OrderedSVD(min(kept, n), share)
    form = LowRank(rank, form) if rank else form
    synthetic = made(form, classes, n, labels, seed)
    images = images_of(synthetic)
    with torch.no_grad():
        if zero:
            images.significance[:, 0] = 0
    before, sizes = everything(synthetic), images.significance.detach().abs()
    synthetic.settle()
    found = images.significance.detach()
    assert torch.equal(found, sizes.sort(dim=1, descending=True).values)
    assert bool((found >= 0).all())
    for one, other in zip(before, everything(synthetic), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    # what is kept is U itself, and settling again changes nothing
    gram = images.coefficients.mT @ images.coefficients
    assert (gram - torch.eye(images.kept)).abs().max() < 1e-5
    tensors = {name: tensor.clone() for name, tensor in synthetic.state_dict().items()}
    synthetic.settle()
    for name, tensor in synthetic.state_dict().items():
        torch.testing.assert_close(tensor, tensors[name], rtol=1e-5, atol=1e-5)


def test_settled_components_are_those_of_their_significance() -> None:
    synthetic = Synthetic(Layout(2, 3, SHAPE), OrderedSVD(share="class"), True)
    images = images_of(synthetic)
    with torch.no_grad():
        images.significance.copy_(torch.tensor([[1.0, -5.0, 3.0], [0.5, 0.2, 4.0]]))
        # image and label of component j of class k hold the number 10·k + j
        numbers = torch.tensor([0.0, 10.0, 1.0, 11.0, 2.0, 12.0])
        images.components.fit(numbers.view(6, 1, 1, 1).expand(6, *SHAPE))
        components_of_labels(synthetic).copy_(numbers.view(6, 1).expand(6, 2))
    synthetic.settle()
    assert images.significance.tolist() == [[5, 3, 1], [4, 0.5, pytest.approx(0.2)]]
    expected = [1.0, 12.0, 2.0, 10.0, 0.0, 11.0]
    assert images.components(torch.arange(6))[:, 0, 0, 0].tolist() == expected
    assert components_of_labels(synthetic)[:, 0].tolist() == expected


# starts


@pytest.mark.parametrize("share", ["all", "class"])
def test_the_start_of_the_paper_is_the_identity(share: str) -> None:
    synthetic = Synthetic(Layout(3, 4, SHAPE), OrderedSVD(share=share), True)
    images, rows = images_of(synthetic), rows_of(Layout(3, 4, SHAPE))
    images.fit(rows)
    told = torch.randn(12, 3, generator=Key(1).generator())
    assert synthetic.labels is not None
    synthetic.labels.fit(told)
    assert torch.equal(images.orthogonal(), torch.eye(4).expand(len(images.significance), 4, 4))
    for one, other in zip(everything(synthetic), (rows, told), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    norms = rows.view(3, 4, -1).square().sum(dim=2)
    norms = norms if share == "class" else norms.mean(dim=0, keepdim=True)
    torch.testing.assert_close(images.significance.detach(), norms.sqrt())


@pytest.mark.parametrize("form", FORMS, ids=repr)
def test_noise_is_the_same_for_every_number_of_components_that_keeps_it(form: OrderedSVD) -> None:
    synthetic = Synthetic(Layout(3, 4, SHAPE), form)
    synthetic.images.start_from_noise(Key(5))
    drawn = torch.randn(12, *SHAPE, generator=Key(5).generator())
    apart = (everything(synthetic)[0] - drawn).norm() / drawn.norm()
    assert apart < 1e-5 if form.components == 0 else 0.1 < apart < 1


@pytest.mark.parametrize("share", ["all", "class"])
def test_factoring_into_as_many_components_as_images_is_exact(share: str) -> None:
    layout = Layout(3, 4, SHAPE)
    synthetic = Synthetic(layout, OrderedSVD(share=share), True)
    rows, told = rows_of(layout), torch.randn(12, 3, generator=Key(1).generator())
    images_of(synthetic).factor(rows, told)
    assert synthetic.labels is not None
    synthetic.labels.fit(told)
    for one, other in zip(everything(synthetic), (rows, told), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    found = images_of(synthetic).significance
    assert bool((found[:, :-1] >= found[:, 1:]).all() and (found > 0).all())


@pytest.mark.parametrize(("share", "kept"), list(itertools.product(("all", "class"), (1, 2, 3))))
def test_factoring_into_fewer_is_the_best_there_is(share: str, kept: int) -> None:
    layout = Layout(3, 5, SHAPE)
    images = images_of(Synthetic(layout, OrderedSVD(kept, share)))
    rows = rows_of(layout)
    images.factor(rows)
    left = (images(torch.arange(15)).detach() - rows).double().square().view(3, -1).sum(dim=1)
    values = rows.double().view(3, 5, -1).numpy()
    if share == "class":
        scales = [np.linalg.svd(own, compute_uv=False) for own in values]
        expected = [np.square(scale[kept:]).sum() for scale in scales]
        np.testing.assert_allclose(left.numpy(), expected, rtol=1e-5)
        found = images.significance.detach().numpy()
        np.testing.assert_allclose(found, [scale[:kept] for scale in scales], rtol=1e-5)
    else:
        # with one U of all classes, that of all images of a place side by side
        scale = np.linalg.svd(np.concatenate(list(values), axis=1), compute_uv=False)
        assert left.sum().item() == pytest.approx(np.square(scale[kept:]).sum(), rel=1e-5)


def test_factoring_with_labels_keeps_what_both_need() -> None:
    # images tell one direction, labels another: two components hold both, one holds either
    layout = Layout(2, 4, SHAPE)
    along = torch.tensor([1.0, 1.0, 1.0, 1.0]) / 2
    across = torch.tensor([1.0, -1.0, 1.0, -1.0]) / 2
    rows = torch.einsum("i,kd->kid", along, rows_of(Layout(2, 1, SHAPE)).view(2, -1))
    told = torch.einsum("i,kd->kid", across, torch.eye(2)).reshape(8, 2)
    rows = rows.reshape(8, *SHAPE)
    synthetic = Synthetic(layout, OrderedSVD(2), True)
    images_of(synthetic).factor(rows, told)
    assert synthetic.labels is not None
    synthetic.labels.fit(told)
    for one, other in zip(everything(synthetic), (rows, told), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    images_of(synthetic).factor(rows)
    synthetic.labels.fit(told)
    assert everything(synthetic)[1].abs().max() < 1e-5


def degenerate() -> dict[str, Tensor]:
    layout = Layout(3, 4, SHAPE)
    rows = rows_of(layout)
    twice = rows.clone()
    twice[1], twice[2] = twice[0], -twice[0]
    dark = rows.clone()
    dark[:4] = 0
    return {"twice": twice, "one class zero": dark, "all zero": torch.zeros_like(rows)}


@pytest.mark.parametrize("name", ["twice", "one class zero", "all zero"])
@pytest.mark.parametrize("share", ["all", "class"])
@pytest.mark.parametrize("way", ["fit", "factor"])
def test_degenerate_images_are_kept_without_nan(name: str, share: str, way: str) -> None:
    rows = degenerate()[name]
    synthetic = Synthetic(Layout(3, 4, SHAPE), OrderedSVD(share=share), True)
    images = images_of(synthetic)
    images.fit(rows) if way == "fit" else images.factor(rows)
    synthetic.settle()
    found, _ = everything(synthetic)
    torch.testing.assert_close(found, rows, rtol=1e-5, atol=1e-5)
    images(torch.arange(12)).square().sum().backward()
    for parameter in images.parameters():
        assert parameter.grad is not None and bool(torch.isfinite(parameter.grad).all())


def test_labels_of_zero_can_be_factored() -> None:
    synthetic = Synthetic(Layout(3, 4, SHAPE), OrderedSVD(), True)
    rows = rows_of(synthetic.layout)
    images_of(synthetic).factor(rows, torch.zeros(12, 3))
    torch.testing.assert_close(everything(synthetic)[0], rows, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("share", ["all", "class"])
@pytest.mark.parametrize("labels", [True, False])
def test_one_image_per_class_is_one_component(share: str, labels: bool) -> None:
    layout = Layout(3, 1, SHAPE)
    rows, told = rows_of(layout), torch.randn(3, 3, generator=Key(1).generator())
    synthetic = Synthetic(layout, OrderedSVD(share=share), labels)
    images_of(synthetic).factor(rows, told if labels else None)
    found, values = everything(synthetic)
    torch.testing.assert_close(found, rows, rtol=1e-5, atol=1e-5)
    if synthetic.labels is not None:
        synthetic.labels.fit(told)
        torch.testing.assert_close(everything(synthetic)[1], told, rtol=1e-5, atol=1e-5)
    else:
        assert torch.equal(values, torch.eye(3))


def test_rows_of_another_number_are_refused() -> None:
    images = images_of(Synthetic(Layout(3, 4, SHAPE), OrderedSVD()))
    for way in (images.fit, images.factor):
        with pytest.raises(BadRequest, match="11 rows where 12 are needed"):
            way(torch.zeros(11, *SHAPE))


def test_forms_that_cannot_be_are_refused() -> None:
    with pytest.raises(BadRequest, match="5 components for 4 images per class: at most as many"):
        OrderedSVD(5).build(Layout(3, 4, SHAPE))
    with pytest.raises(BadRequest, match="unknown share 'each'"):
        OrderedSVD(share="each")
    for count in (-1, True, 2.0):
        with pytest.raises(BadRequest, match=f"components {count!r}: a whole number"):
            OrderedSVD(count)  # pyright: ignore[reportArgumentType]


# bytes


def artefact(synthetic: Synthetic, storage: str = "float32") -> Artefact:
    header = Header(
        class_names=["a", "b", "c"],
        shape=SHAPE,
        images_per_class=synthetic.layout.per_class,
        parametrization=synthetic.parametrization.describe(),
        learned_labels=synthetic.labels is not None,
        storage=storage,  # pyright: ignore[reportArgumentType]
        mean=[0.4, 0.5],
        std=[0.2, 0.3],
    )
    return Artefact(header, synthetic, Preprocessing((0.4, 0.5), (0.2, 0.3)))


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("storage", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("form", [*FORMS, LowRank(2, OrderedSVD(3))], ids=repr)
def test_bytes_are_those_of_the_file(
    form: Parametrization, storage: str, labels: bool, tmp_path: Path
) -> None:
    synthetic = made(form, labels=labels)
    synthetic.settle()
    given = artefact(synthetic, storage)
    given.save(tmp_path / "set.safetensors")
    stored = read_tensors(tmp_path / "set.safetensors")
    payload = sum(tensor.numel() * tensor.element_size() for tensor in stored.values())
    assert given.nbytes == payload
    planned = planned_ledger(synthetic.layout, form, storage, labels)
    assert (planned.all, planned.paper) == (payload, given.ledger.paper)
    # the papers count components alone: no U, no Σ, no labels
    counted = sum(
        tensor.numel() * tensor.element_size()
        for name, tensor in stored.items()
        if name.startswith("images.components")
    )
    assert given.ledger.paper == counted
    why = {entry.name: entry.why for entry in given.ledger.entries}
    assert why["images.coefficients"].startswith("U: ")
    assert why["images.significance"].startswith("Σ: ")

    loaded = attar.load(tmp_path / "set.safetensors")
    digits = {"float32": 1e-6, "float16": 2e-3, "bfloat16": 2e-2}[storage]
    wanted = everything(synthetic)
    found = loaded.images, loaded.labels if labels else wanted[1]
    for one, other in zip(found, wanted, strict=True):
        assert (one - other).abs().max() <= 5 * digits * float(other.abs().max())
    assert loaded.header.parametrization == form.describe()
    # written again, nothing changes
    loaded.save(tmp_path / "again.safetensors")
    again = read_tensors(tmp_path / "again.safetensors")
    assert all(torch.equal(again[name], tensor) for name, tensor in stored.items())


@pytest.mark.gpu
@pytest.mark.parametrize("form", FORMS, ids=repr)
def test_a_gpu_gives_the_same_rows_and_gradients(form: OrderedSVD) -> None:
    index = torch.tensor([11, 0, 4, 4])
    found = []
    for device in ("cpu", "cuda"):
        synthetic = made(form).to(device)
        rows, told = synthetic(index.to(device))
        (rows.square().sum() + told.square().sum()).backward()
        synthetic.settle()
        gradients = [p.grad.cpu() for p in synthetic.parameters() if p.grad is not None]
        found.append([rows.cpu(), told.cpu(), *gradients, *synthetic.cpu().state_dict().values()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
