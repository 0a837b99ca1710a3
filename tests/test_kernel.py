import dataclasses
import itertools

import pytest
import torch
from torch import Tensor

import attar
from attar import compute as computing
from attar.condensing.engine import Run
from attar.errors import BadRequest, RunFailed
from attar.objectives import KernelRegression, Match, Objective, Problem, State
from attar.objectives.kernel import label_margin
from attar.objectives.ridge import ridge_solution
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.synthetic import LowRank, OrderedSVD, Pixels, Synthetic
from attar.tensors import dotted, flatten, unflatten
from catalogue import COMPUTE, PARAMETRIZATIONS, tiny_data, tiny_problem, tiny_run
from references import kernel_reference

KEY = Key(3).fold("step", 0)
NETWORK = "frepo2:width=8"
BATCH = 20
SMALL = KernelRegression(BATCH, pool=2)


def problem_of(channels: int = 3, learned: bool = True, **options) -> Problem:
    problem = tiny_problem(tiny_data(channels), 2, NETWORK, **options)
    return dataclasses.replace(problem, learned_labels=learned)


def noise(problem: Problem, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(len(problem.layout), *problem.layout.shape, generator=generator)
    labels = torch.randn(len(problem.layout), problem.layout.classes, generator=generator) / 3
    return images, labels


def one_hot(problem: Problem) -> Tensor:
    rows = problem.layout.class_of_row()
    return torch.nn.functional.one_hot(rows, problem.layout.classes).float()


def trained(objective: Objective, problem: Problem, steps: int = 3) -> State:
    """Return a state whose networks have running statistics of their own."""
    state = objective.init(problem, Key(1))
    synthetic = Synthetic(problem.layout, Pixels(), problem.learned_labels)
    synthetic.images.start_from_noise(Key(2))
    for step in range(steps):
        state = objective.advance(synthetic, problem, state, Key(1).fold(step))
    return state


def expected(
    objective: KernelRegression, problem: Problem, state: State, images: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return loss and gradients by the literal equation in the network that the state names."""
    network = dotted(state["pool"][state["network"]]["network"])
    weights = {name.removeprefix("module."): tensor for name, tensor in network.items()}
    order = torch.randperm(len(problem.data), generator=KEY.fold("real").generator())
    index = order[: objective.batch_real]
    targets = problem.data.target(index).double() - 1 / problem.data.classes
    return kernel_reference.loss_and_gradients(
        weights,
        problem.data.take(index),
        targets,
        images,
        labels,
        ridge=objective.ridge,
        mirror=objective.mirror,
        margin=objective.margin and problem.learned_labels,
        padding=3 if problem.layout.shape[0] == 1 else 1,
    )


def assert_same(found: Match, loss: Tensor, images: Tensor, labels: Tensor) -> None:
    assert found.images is not None and found.labels is not None and not found.learned
    assert not found.loss.requires_grad
    torch.testing.assert_close(found.loss.double(), loss, rtol=1e-5, atol=0)
    for slope, reference in ((found.images, images), (found.labels, labels)):
        assert slope.dtype == torch.float32
        size = float(reference.abs().max())
        assert size > 1e-4
        torch.testing.assert_close(slope.double(), reference, rtol=1e-4, atol=1e-4 * size)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "objective",
    [
        SMALL,
        dataclasses.replace(SMALL, mirror=True),
        dataclasses.replace(SMALL, margin=False, ridge=0.1),
        dataclasses.replace(SMALL, mirror=True, ridge=1e-3, batch_real=7),
        # more than there are: all of them
        dataclasses.replace(SMALL, batch_real=1000),
    ],
    ids=["plain", "mirrored", "no margin", "ridge", "all"],
)
def test_loss_and_gradients_are_those_of_the_equation(
    channels: int, objective: KernelRegression
) -> None:
    problem = problem_of(channels)
    state, given = trained(objective, problem), noise(problem)
    network = dotted(state["pool"][state["network"]]["network"])
    assert any(
        bool((value != 0).all()) for name, value in network.items() if name.endswith("running_mean")
    )
    found = objective.match(*given, problem, state, KEY)
    assert_same(found, *expected(objective, problem, state, *given))


def test_labels_that_are_not_learnt_are_centred_and_have_no_margin() -> None:
    problem = problem_of(learned=False)
    state, (images, _) = trained(SMALL, problem), noise(problem)
    labels = one_hot(problem)
    found = SMALL.match(images, labels, problem, state, KEY)
    assert_same(found, *expected(SMALL, problem, state, images, labels - 1 / 3))


def test_a_run_says_whether_labels_are_learnt() -> None:
    for learned in (False, True):
        run = tiny_run(SMALL, tiny_problem(), learned_labels=learned)
        assert run.problem.learned_labels is learned


def test_the_margin_of_labels() -> None:
    # gaps of 0.1, 0.9 cut to 1/3, 0
    labels = torch.tensor([[0.1, 0.2, -1.0], [0.0, -0.5, 0.9], [1.0, 1.0, 0.0]])
    torch.testing.assert_close(label_margin(labels), torch.tensor(-(0.1 + 1 / 3 + 0.0) / 3))


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("chunk", [1, 2])
def test_chunks_do_not_change_the_result(chunk: int, mirror: bool) -> None:
    objective = dataclasses.replace(SMALL, mirror=mirror)
    problem = problem_of()
    in_chunks = problem_of(compute=dataclasses.replace(COMPUTE, chunk=chunk))
    assert in_chunks.compute.graph_chunk < (12 if mirror else 10)
    state, (images, labels) = trained(objective, problem), noise(problem)
    images, labels = torch.cat([images, images + 1]), torch.cat([labels, labels.flip(0)])
    whole = objective.match(images, labels, problem, state, KEY)
    parts = objective.match(images, labels, in_chunks, state, KEY)
    torch.testing.assert_close(parts.loss, whole.loss, rtol=1e-5, atol=0)
    for part, one in ((parts.images, whole.images), (parts.labels, whole.labels)):
        assert part is not None and one is not None
        torch.testing.assert_close(part, one, rtol=1e-4, atol=1e-5 * float(one.abs().max()))


def test_a_real_batch_is_of_distinct_images_of_all_classes() -> None:
    problem = problem_of()
    drawn = [SMALL._drawn(problem, Key(0).fold(step)) for step in range(30)]
    assert all(len(one) == BATCH == len(one.unique()) for one in drawn)
    assert not torch.equal(drawn[0], drawn[1])
    assert len(torch.cat(drawn).unique()) == len(problem.data)
    everything = dataclasses.replace(SMALL, batch_real=99)._drawn(problem, Key(0))
    assert torch.equal(everything.sort().values, torch.arange(len(problem.data)))


def test_match_repeats_itself_and_changes_nothing() -> None:
    problem = problem_of()
    state, given = trained(SMALL, problem), noise(problem)
    before, rest = flatten(state)
    before = {name: tensor.clone() for name, tensor in before.items()}
    one, other = (SMALL.match(*given, problem, state, KEY) for _ in range(2))
    assert one.images is not None and other.images is not None
    assert torch.equal(one.loss, other.loss) and torch.equal(one.images, other.images)
    after, same = flatten(state)
    assert rest == same and all(torch.equal(before[name], after[name]) for name in before)
    elsewhere = SMALL.match(*given, problem, state, KEY.fold("other"))
    assert not torch.equal(elsewhere.loss, one.loss)


def test_uses_of_a_network_share_what_is_seen_of_real_images() -> None:
    objective = dataclasses.replace(SMALL, uses=3, mirror=True)
    problem = problem_of()
    state, synthetic = trained(objective, problem), Synthetic(problem.layout, Pixels(), True)
    synthetic.images.start_from_noise(Key(2))
    state = {**state, "used": 0}
    first = objective.match(*noise(problem), problem, state, KEY)
    one = objective.advance(synthetic, problem, state, KEY, kept=first.kept)
    # in the network of the first and with its real images, exactly, whatever the set is by then
    for use in (1, 2):
        given = noise(problem, seed=use + 7)
        assert one["pool"] is state["pool"] and one["used"] == use
        found = objective.match(*given, problem, one, KEY.fold(use))
        assert_same(found, *expected(objective, problem, state, *given))
        one = objective.advance(synthetic, problem, one, KEY.fold(use), kept=found.kept)
    # then it is trained for a step, and another chosen, which looks for itself
    name = state["network"]
    assert one["used"] == 0 and one["pool"][name]["age"] == state["pool"][name]["age"] + 1
    other = objective.match(*noise(problem), problem, one, KEY.fold("other"))
    assert not torch.equal(other.kept["index"], first.kept["index"])


def same_states(one: Run, other: Run) -> bool:
    (tensors, rest), (others, same) = flatten(one.state_dict()), flatten(other.state_dict())
    return rest == same and all(torch.equal(tensors[name], others[name]) for name in tensors)


def test_probing_leaves_a_run_as_it_was() -> None:
    runs = [tiny_run(SMALL, problem_of(), learned_labels=True) for _ in range(2)]
    runs[0].probe()
    assert same_states(*runs)
    for run in runs:
        run.advance()
    runs[0].probe()
    assert same_states(*runs)


@pytest.mark.parametrize("uses", [1, 3])
@pytest.mark.parametrize("parametrization", ["pixels", "ordered_svd"])
def test_learnt_labels_are_resumed_bit_for_bit(parametrization: str, uses: int) -> None:
    def fresh() -> Run:
        return tiny_run(
            dataclasses.replace(SMALL, uses=uses, mirror=True, age=2),
            problem_of(1),
            PARAMETRIZATIONS[parametrization],
            learned_labels=True,
            optimiser=Optimiser(3e-3, kind="lamb", schedule="cosine", floor=0.1),
            steps=12,
        )

    whole, resumed = fresh(), fresh()
    for _ in range(5):
        whole.advance()
    tensors, rest = flatten(whole.state_dict())
    resumed.load_state_dict(unflatten({k: v.clone() for k, v in tensors.items()}, rest))
    # long enough for networks to be drawn anew
    losses = [(whole.advance(), resumed.advance()) for _ in range(7)]
    assert all(one == other for one, other in losses)
    assert same_states(whole, resumed)


@pytest.mark.parametrize("form", [Pixels(), LowRank(2), OrderedSVD()], ids=lambda form: form.name)
def test_learning_lowers_the_loss(form) -> None:
    objective = dataclasses.replace(SMALL, batch_real=30, pool=1, margin=False)
    optimiser = Optimiser(0.01, kind="lamb")
    run = tiny_run(objective, problem_of(), form, learned_labels=True, optimiser=optimiser)
    losses = [run.advance() for _ in range(30)]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


# what makes the Gram matrix singular, by the images' names
def degenerate(problem: Problem) -> dict[str, Tensor]:
    images, _ = noise(problem)
    return {
        "equal": images[:1].expand_as(images).contiguous(),
        "zero": torch.zeros_like(images),
        "far apart": images * torch.logspace(-3, 3, len(images)).view(-1, 1, 1, 1),
    }


@pytest.mark.parametrize("kind", ["equal", "zero", "far apart"])
@pytest.mark.parametrize("ridge", [1e-6, 0.0])
def test_a_singular_system_gives_finite_gradients(kind: str, ridge: float) -> None:
    objective = dataclasses.replace(SMALL, ridge=ridge, mirror=True)
    problem = problem_of()
    state, (_, labels) = trained(objective, problem), noise(problem)
    found = objective.match(degenerate(problem)[kind], labels, problem, state, KEY)
    for tensor in (found.loss, found.images, found.labels):
        assert tensor is not None and bool(torch.isfinite(tensor).all())


def test_features_that_are_all_zero_predict_nothing() -> None:
    features = torch.zeros(4, 7, requires_grad=True)
    weights = ridge_solution(features, torch.ones(4, 2))
    assert torch.equal(weights, torch.zeros(7, 2))
    assert bool(torch.isfinite(torch.autograd.grad(weights.sum(), features)[0]).all())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("shape", [(4, 7), (7, 4)])
def test_what_is_not_finite_stays_so(shape: tuple[int, int], value: float) -> None:
    features = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    features[1, 1] = value
    assert not bool(torch.isfinite(ridge_solution(features, torch.ones(shape[0], 2))).all())


def test_a_run_of_images_that_are_not_finite_is_reported() -> None:
    run = tiny_run(SMALL, problem_of())
    with torch.no_grad():
        next(iter(run.synthetic.parameters()))[0] = float("nan")
    with pytest.raises(RunFailed, match=r"diverged at step 0"):
        run.advance()


@pytest.mark.parametrize(("rows", "features"), [(5, 9), (6, 6), (9, 5), (1, 4), (4, 1)])
@pytest.mark.parametrize("ridge", [1e-4, 0.3])
def test_ridge_solution_and_its_gradients(rows: int, features: int, ridge: float) -> None:
    generator = torch.Generator().manual_seed(rows)
    x, y = (
        torch.randn(rows, width, generator=generator, dtype=torch.float64, requires_grad=True)
        for width in (features, 3)
    )
    found = ridge_solution(x, y, ridge)
    gram = x @ x.T
    regular = gram + ridge * gram.trace() / rows * torch.eye(rows, dtype=torch.float64)
    wanted = x.T @ torch.linalg.inv(regular) @ y
    torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-9)
    weight = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    slopes = torch.autograd.grad((found * weight).sum(), (x, y))
    references = torch.autograd.grad((wanted * weight).sum(), (x, y))
    for slope, reference in zip(slopes, references, strict=True):
        torch.testing.assert_close(slope, reference, rtol=1e-6, atol=1e-7)


def test_ridge_solution_keeps_what_float32_would_lose() -> None:
    # two rows that differ by 1e-4 of their norm, regressed on opposite labels
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(500, generator=generator)
    features = torch.stack([base, base + 1e-4 * torch.randn(500, generator=generator)])
    labels = torch.tensor([[1.0], [-1.0]])
    exact = features.double()
    wanted = ridge_solution(exact, labels.double(), 1e-12)
    found = ridge_solution(features, labels, 1e-12)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=0)
    torch.testing.assert_close(exact @ wanted, labels.double(), rtol=1e-3, atol=0)


def test_what_a_step_sends_through_networks() -> None:
    problem = problem_of()
    data, layout = problem.data, problem.layout
    assert SMALL.passes(layout, data) == BATCH + 3 * 6 + 3 * 6
    mirrored = dataclasses.replace(SMALL, mirror=True, batch_real=999)
    assert mirrored.passes(layout, data) == len(data) + 3 * 12 + 3 * 6
    several = dataclasses.replace(SMALL, uses=4)
    assert several.passes(layout, data) == 3 * 6 + (BATCH + 3 * 6) / 4
    assert several.unusual(100) == 1 / 4 and SMALL.unusual(100) == 1


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("batch_real", 0),
        ("pool", 0),
        ("age", -1),
        ("uses", 0),
        ("lr_network", 0.0),
        ("lr_network", float("nan")),
        ("ridge", -1e-6),
        ("ridge", float("inf")),
    ],
)
def test_settings_out_of_range_are_refused(setting: str, value: float) -> None:
    with pytest.raises(BadRequest, match=rf"^{setting} {value:g}: "):
        dataclasses.replace(SMALL, **{setting: value})


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.1)])
def test_compiled_steps_are_those_of_eager_ones(precision: str, tolerance: float) -> None:
    def run(compiled: str, precision: str) -> list[float]:
        compute = computing.choose("cpu", precision, compiled, chunk=8)
        objective = dataclasses.replace(SMALL, mirror=True, age=2)
        found = tiny_run(
            objective,
            problem_of(compute=compute),
            learned_labels=True,
            optimiser=Optimiser(1e-3, kind="lamb"),
        )
        return [found.advance() for _ in range(6)]

    pairs = itertools.zip_longest(run("off", "float32"), run("on", precision))
    for eager, fast in pairs:
        assert fast == pytest.approx(eager, rel=tolerance, abs=tolerance / 10)


@pytest.mark.parametrize("method", ["frepo", "lofrepo", "slimmable"])
def test_a_condensation_by_name(method: str) -> None:
    data = tiny_data(3, counts=(12, 14, 10))
    asked = {"network": NETWORK, "validation": 0, "torch_compile": "off", "device": "cpu"}
    asked |= {
        "settings": ("batch_real=20", "pool=2", "mirror=true"),
        "optimiser": "lamb",
        "lr": 1e-2,
    }
    start, made = (
        attar.condense((data.images, data.labels), method=method, ipc=2, iterations=steps, **asked)
        for steps in (0, 3)
    )
    whitening = made.preprocessing.whitening
    assert whitening is not None and whitening.kind == "frepo"
    settings = made.header.settings
    assert settings["objective"]["name"] == "kernel" and settings["objective"]["mirror"] is True
    assert settings["optimisers"]["labels"]["lr"] == 1e-2
    # one-hot minus 1/3, over the root of 3/10
    centred = (torch.eye(3) - 1 / 3) / 0.3**0.5
    rows = len(start.labels) // 3
    torch.testing.assert_close(start.labels, centred.repeat_interleave(rows, 0), rtol=0, atol=1e-4)
    assert not torch.equal(made.labels, start.labels)
    assert bool((made.images != start.images).flatten(1).any(dim=1).all())
