"""What keeps components skewed and orthogonal, and what that is good for: Proposition 1."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from attar.condensing.engine import Run
from attar.errors import BadRequest
from attar.objectives import SignificancePenalty
from attar.objectives.parameters import layer_gradient
from attar.objectives.significance import defect, skewness
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.synthetic import Layout, LowRank, OrderedSVD, Parametrization, Pixels, Synthetic
from attar.synthetic.forms.ordered import OrderedImages, OrderedLabels
from catalogue import OBJECTIVES, tiny_problem
from references import slimming_reference as reference

SHAPE = (1, 4, 5)


def drawn(
    form: Parametrization, labels: bool = True, classes: int = 3, n: int = 4, seed: int = 0
) -> Synthetic:
    """Return a set in which everything that is stored is random."""
    made = Synthetic(Layout(classes, n, SHAPE), form, labels)
    generator = Key(seed).generator()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return made


def images_of(synthetic: Synthetic) -> OrderedImages:
    assert isinstance(synthetic.images, OrderedImages)
    return synthetic.images


def factors(synthetic: Synthetic, label: int) -> tuple[Tensor, Tensor | None]:
    """Return V_x and V_y of one class, row by row."""
    images, classes = images_of(synthetic), synthetic.layout.classes
    rows = torch.arange(label, images.kept * classes, classes)
    values = images.components(rows).flatten(1)
    if synthetic.labels is None:
        return values, None
    assert isinstance(synthetic.labels, OrderedLabels)
    return values, synthetic.labels.components[rows]


@pytest.mark.parametrize(
    ("form", "labels"),
    [
        (OrderedSVD(), True),  # more components than label values
        (OrderedSVD(), False),
        (OrderedSVD(3, "class"), True),
        (OrderedSVD(2), True),  # fewer
        (OrderedSVD(1, "class"), True),
        (LowRank(2, OrderedSVD(share="class")), True),
    ],
    ids=repr,
)
def test_the_penalty_is_that_of_the_equations(form: Parametrization, labels: bool) -> None:
    made = drawn(form, labels)
    images = images_of(made)
    penalty = SignificancePenalty(skew=0.7, ortho=0.3)
    value = penalty(made)
    value.backward()
    found = {name: p.grad for name, p in made.named_parameters() if p.grad is not None}
    assert found.keys() == made.state_dict().keys() - {"images.coefficients"}  # U is orthogonal
    made.zero_grad()

    skewed = torch.stack([reference.skewness(one) for one in images.significance]).mean()
    classes = [reference.orthogonality(*factors(made, k)) for k in range(3)]
    expected = 0.7 * skewed + 0.3 * torch.stack(classes).mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    expected.backward()
    for name, parameter in made.named_parameters():
        if name in found:
            assert parameter.grad is not None
            torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-4)


def test_skewness_takes_the_largest_whatever_its_sign_and_place() -> None:
    assert skewness(torch.tensor([[3.0, 0.0, 0.0]])) == 0
    assert skewness(torch.tensor([[1.0, -3.0, 1.0]])).item() == pytest.approx(1 - 9 / 11)
    assert skewness(torch.ones(1, 4)).item() == pytest.approx(3 / 4)
    both = torch.tensor([[3.0, 0.0], [1.0, 1.0]])
    assert skewness(both).item() == pytest.approx(1 / 4)


def test_significances_of_zero_leave_numbers() -> None:
    made = drawn(OrderedSVD())
    with torch.no_grad():
        images_of(made).significance.zero_()
    value = SignificancePenalty()(made)
    value.backward()
    gradient = images_of(made).significance.grad
    assert torch.isfinite(value) and gradient is not None and bool(torch.isfinite(gradient).all())
    assert skewness(images_of(made).significance) == 0


def test_more_components_than_values_use_the_other_gram_matrix() -> None:
    form = OrderedSVD()
    made = Synthetic(Layout(2, 5, (1, 1, 3)), form)
    images = images_of(made)
    with torch.no_grad():
        images.significance.fill_(1.0)
        columns = torch.linalg.qr(torch.randn(5, 3, generator=Key(0).generator())).Q
        images.components.fit(columns.repeat_interleave(2, dim=0).view(10, 1, 1, 3))
    assert SignificancePenalty(skew=0.0, ortho=1.0)(made).item() == pytest.approx(0, abs=1e-10)


def test_the_defect_says_how_far_from_orthogonal() -> None:
    made = drawn(OrderedSVD())
    found = defect(made)
    assert found["U"] < 1e-5
    for name, position in (("V_x", 0), ("V_y", 1)):
        grams = []
        for label in range(3):
            matrix = factors(made, label)[position]
            assert matrix is not None
            gram = matrix @ matrix.T if name == "V_x" else matrix.T @ matrix
            grams.append((gram - torch.eye(len(gram))).abs().max().item())
        assert found[name] == pytest.approx(max(grams), rel=1e-5)
    assert defect(drawn(OrderedSVD(), labels=False)).keys() == {"U", "V_x"}


def test_the_penalty_alone_makes_a_set_skewed_and_orthogonal() -> None:
    made = drawn(OrderedSVD())
    penalty = SignificancePenalty(skew=1.0, ortho=1.0)
    optimiser = torch.optim.Adam(made.parameters(), lr=0.05)
    for _ in range(600):
        optimiser.zero_grad()
        penalty(made).backward()
        optimiser.step()
    assert skewness(images_of(made).significance) < 0.01
    assert max(defect(made).values()) < 0.01


def test_a_run_adds_the_penalty_to_the_loss_and_to_the_gradient() -> None:
    problem = tiny_problem()
    losses, gradients = [], []
    weighted = SignificancePenalty(skew=3.0, ortho=2.0)
    for penalty in (None, weighted):
        made = Synthetic(problem.layout, OrderedSVD())
        made.images.start_from_noise(Key(0))
        roles = {"images": Optimiser(0.1)}
        run = Run(made, OBJECTIVES["distribution"], problem, roles, Key(0), penalty=penalty)
        own = weighted(made)
        slopes = torch.autograd.grad(own, images_of(made).significance)
        losses.append((run.advance(), own.item()))
        gradients.append((images_of(made).significance.grad, *slopes))
    assert losses[1][0] == pytest.approx(losses[0][0] + losses[0][1], rel=1e-5)
    torch.testing.assert_close(gradients[1][0], gradients[0][0] + gradients[0][1])


@pytest.mark.parametrize("form", [Pixels(), LowRank(2)])
def test_sets_of_another_form_are_refused(form: Parametrization) -> None:
    made = Synthetic(Layout(3, 2, SHAPE), form)
    for call in (SignificancePenalty().check, SignificancePenalty(), defect):
        with pytest.raises(BadRequest, match=f"stored as '{form.name}' has no significances"):
            call(made)
    SignificancePenalty().check(drawn(LowRank(2, OrderedSVD())))


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_bad_weights_are_refused(value: float) -> None:
    for name in ("skew", "ortho"):
        with pytest.raises(BadRequest, match=f"{name} {value}: a weight is 0 or more"):
            SignificancePenalty(**{name: value})


# Proposition 1: linear features, orthonormal factors, a learning rate of 1, spectral norms


def orthonormal(rows: int, columns: int, seed: int) -> Tensor:
    """Return rows×columns with orthonormal rows or columns, whichever are fewer."""
    long, short = max(rows, columns), min(rows, columns)
    found = torch.linalg.qr(torch.randn(long, short, generator=Key(seed).generator())).Q
    return found if rows > columns else found.T


def set_of(significance: Tensor, images: Tensor, labels: Tensor, seed: int) -> Synthetic:
    """Return one in which every class has these V_x (b×D) and V_y (b×K), and a random U."""
    kept, classes = labels.shape
    made = drawn(OrderedSVD(), classes=classes, n=kept, seed=seed)
    assert isinstance(made.labels, OrderedLabels)
    with torch.no_grad():
        images_of(made).significance.copy_(significance)
        images_of(made).components.fit(images.repeat_interleave(classes, 0).view(-1, *SHAPE))
        made.labels.components.copy_(labels.repeat_interleave(classes, 0))
    return made


def without_last(synthetic: Synthetic, removed: int) -> Synthetic:
    """Return the set without its least significant components: their columns of U and rows of V."""
    smaller = copy.deepcopy(synthetic)
    with torch.no_grad():
        images_of(smaller).significance[:, -removed:] = 0
    return smaller


def class_of(synthetic: Synthetic, label: int = 1) -> tuple[Tensor, Tensor]:
    """Return X (n×D) and Y (n×K) of one class, float64."""
    n = synthetic.layout.per_class
    with torch.no_grad():
        images, labels = synthetic(torch.arange(label * n, label * n + n))
    return images.flatten(1).double(), labels.double()


def spectral(matrix: Tensor) -> float:
    return torch.linalg.matrix_norm(matrix, ord=2).item()


def steps_apart(whole: Synthetic, smaller: Synthetic, weight: Tensor) -> float:
    """Return how far apart one step of learning rate 1 leaves w (D×K)."""
    one, other = (weight - layer_gradient(*class_of(s), weight.T, None) for s in (whole, smaller))
    return spectral(one - other)


def solutions_apart(whole: Synthetic, smaller: Synthetic) -> float:
    """Return how far apart the least squares solutions are."""
    # what rounding leaves of a component without significance is none
    found = [torch.linalg.pinv(x, rtol=1e-4) @ y for x, y in map(class_of, (whole, smaller))]
    return spectral(found[0] - found[1])


@given(
    seed=st.integers(0, 10_000),
    kept=st.integers(2, 8),
    removed=st.integers(1, 7),
    classes=st.integers(2, 8),
)
@settings(deadline=None, max_examples=40)
def test_proposition_1(seed: int, kept: int, removed: int, classes: int) -> None:
    removed = min(removed, kept - 1)
    significance = (torch.rand(kept, generator=Key(seed).generator()) + 0.1) * 3
    significance = significance.sort(descending=True).values
    images, labels = orthonormal(kept, 20, seed + 1), orthonormal(kept, classes, seed + 2)
    whole = set_of(significance, images, labels, seed)
    smaller = without_last(whole, removed)

    weight = torch.randn(20, classes, generator=Key(seed + 3).generator()).double()
    x, y = class_of(whole)
    residual = spectral(x @ weight - y)
    apart = steps_apart(whole, smaller, weight)
    # by the first significance removed, and so by the second of all, as equation 9 has it
    assert apart <= significance[-removed].item() * residual * (1 + 1e-4)
    assert apart <= significance[1].item() * residual * (1 + 1e-4)

    apart = solutions_apart(whole, smaller)
    gone = labels[-removed:]
    assert apart == pytest.approx(spectral(images[-removed:].T @ gone), abs=1e-3)
    assert apart == pytest.approx(spectral(gone), abs=1e-3)
    assert apart <= 1 + 1e-3
    # with fewer components than label values, the bound is always reached
    if kept <= classes:
        assert apart == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("removed", [1, 2, 4])
def test_the_bounds_of_proposition_1_are_reached(removed: int) -> None:
    kept, classes = 5, 3
    significance = torch.tensor([3.0, 2.0, 1.5, 1.0, 0.5])
    images, labels = orthonormal(kept, 20, 1), orthonormal(kept, classes, 2)
    whole = set_of(significance, images, labels, 0)
    # an error in the first component removed, and in no other
    error = torch.zeros(kept, classes)
    error[-removed] = torch.tensor([1.0, -2.0, 0.5])
    weight = (images.T @ (labels + error)).double()
    x, y = class_of(whole)
    bound = significance[-removed].item() * spectral(x @ weight - y)
    apart = steps_apart(whole, without_last(whole, removed), weight)
    assert apart == pytest.approx(bound, rel=1e-4)

    # labels that the last components alone tell
    labels = torch.cat([torch.zeros(2, 3), torch.eye(3)])
    whole = set_of(significance, images, labels, 0)
    assert solutions_apart(whole, without_last(whole, removed)) == pytest.approx(1, abs=1e-4)
    # labels that the first ones tell
    whole = set_of(significance, images, labels.flip(0), 0)
    if removed <= 2:
        assert solutions_apart(whole, without_last(whole, removed)) < 1e-3


def test_proposition_1_needs_orthonormal_factors() -> None:
    # why the defect of V is reported: with V_x twice as long the first bound does not hold
    images, labels = orthonormal(4, 20, 1), orthonormal(4, 3, 2)
    whole = set_of(torch.tensor([3.0, 2.0, 1.0, 0.5]), 2 * images, labels, 0)
    error = torch.zeros(4, 3)
    error[-1] = 1.0
    weight = (images.T @ (labels + error) / 2).double()
    x, y = class_of(whole)
    assert defect(whole)["V_x"] == pytest.approx(3, rel=1e-4)
    assert steps_apart(whole, without_last(whole, 1), weight) > 1.9 * 0.5 * spectral(x @ weight - y)
