from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from attar.condensing import engine
from attar.condensing.engine import Run
from attar.errors import BadRequest, RunFailed
from attar.objectives import (
    NOTHING,
    DistributionMatching,
    Match,
    Objective,
    Problem,
    State,
    WeightedSum,
    gradients,
)
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.synthetic import LowRank, Pixels, Synthetic
from attar.tensors import flatten, read_header, read_tensors, save_tensors, unflatten
from catalogue import tiny_problem, tiny_run


@dataclass(frozen=True)
class Toward(Objective):
    """½‖s·x − t‖² with a drawn target t, a learnt step size s, and a count as state."""

    name: ClassVar[str] = "toward"

    learnt: bool = True
    labels: bool = False
    rows: tuple[int, ...] = ()

    def init(self, problem: Problem, key: Key) -> State:
        return {"count": 0, "past": {"losses": torch.zeros(3)}, "noise": key.integer()}

    def learned(self, problem: Problem) -> Mapping[str, Tensor]:
        return {"step_size": torch.tensor(0.5)} if self.learnt else {}

    def select(self, problem: Problem, state: State, key: Key) -> Tensor:
        return torch.tensor(self.rows) if self.rows else super().select(problem, state, key)

    def match(
        self,
        images: Tensor,
        labels: Tensor,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
    ) -> Match:
        assert not images.requires_grad and not labels.requires_grad
        scale = learned["step_size"] if self.learnt else torch.tensor(1.0)
        gap = scale * images - target(images, key)
        return Match(
            gap.square().sum() / 2 + (labels.square().sum() / 2 if self.labels else 0),
            scale * gap,
            labels if self.labels else None,
            {"step_size": (gap * images).sum()} if self.learnt else {},
        )

    def advance(
        self,
        synthetic: Synthetic,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
        kept: Mapping[str, Any] = NOTHING,
    ) -> State:
        losses = state["past"]["losses"].roll(1)
        noise = torch.rand(1, generator=key.generator()).item()
        assert not self.learnt or "step_size" in learned
        return {**state, "count": state["count"] + 1, "past": {"losses": losses + noise}}


def target(images: Tensor, key: Key) -> Tensor:
    return torch.randn(images.shape, generator=key.fold("target").generator())


def stored(run: Run) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in run.synthetic.state_dict().items()}


# updates


def test_sgd_with_momentum_written_by_hand() -> None:
    run = tiny_run(Toward(learnt=False), optimiser=Optimiser(0.3, 0.6), key=Key(4))
    x = stored(run)["images.values"].double()
    velocity = torch.zeros_like(x)
    for step in range(3):
        gap = x - target(x.float(), Key(4).fold("step", step)).double()
        assert run.advance() == pytest.approx(float(gap.square().sum() / 2), rel=1e-5)
        velocity = 0.6 * velocity + gap
        x = x - 0.3 * velocity
        torch.testing.assert_close(stored(run)["images.values"].double(), x, rtol=1e-5, atol=1e-5)
    assert run.step == 3 and run.state["count"] == 3


def test_adam_written_by_hand() -> None:
    run = tiny_run(Toward(learnt=False), optimiser=Optimiser(0.01, kind="adam"))
    x = stored(run)["images.values"].double()
    first, second = torch.zeros_like(x), torch.zeros_like(x)
    for step in range(3):
        slope = x - target(x.float(), Key(0).fold("step", step)).double()
        run.advance()
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        scaled = first / (1 - 0.9 ** (step + 1))
        x = x - 0.01 * scaled / ((second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8)
        torch.testing.assert_close(stored(run)["images.values"].double(), x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        ("constant", [1, 1, 1, 1]),
        ("linear", [1, 0.75, 0.5, 0.25]),
        ("cosine", [1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5]),
    ],
)
def test_a_schedule_scales_every_update(schedule: str, shares: list[float]) -> None:
    optimiser = Optimiser(0.3, schedule=schedule)
    run = tiny_run(Toward(learnt=False), optimiser=optimiser, steps=4)
    for step, share in enumerate(shares):
        before = stored(run)["images.values"]
        run.advance()
        moved = before - 0.3 * share * (before - target(before, Key(0).fold("step", step)))
        torch.testing.assert_close(stored(run)["images.values"], moved)


def test_the_average_is_written_by_hand_and_does_not_disturb_the_run() -> None:
    plain = tiny_run(Toward(), parametrization=LowRank(2), optimiser=Optimiser(0.01))
    run = tiny_run(Toward(), parametrization=LowRank(2), optimiser=Optimiser(0.01), average=0.25)
    mean = stored(run)
    for step in range(5):
        assert run.advance() == plain.advance()
        past = min(0.25, (1 + step) / (10 + step))
        mean = {
            name: past * mean[name] + (1 - past) * tensor for name, tensor in stored(run).items()
        }
    assert same(stored(run), stored(plain))
    assert plain.iterate is plain.synthetic
    torch.testing.assert_close(dict(run.iterate.state_dict()), mean)
    assert not any(tensor.requires_grad for tensor in run.iterate.parameters())


@pytest.mark.parametrize("average", [-0.1, 1.0, float("nan")])
def test_an_average_out_of_range_is_refused(average: float) -> None:
    with pytest.raises(BadRequest, match="--average"):
        tiny_run(Toward(), average=average)


def test_learned_state_is_optimised_with_its_own_optimiser() -> None:
    problem = tiny_problem()
    synthetic = Synthetic(problem.layout, Pixels())
    synthetic.images.start_from_noise(Key(1))
    optimisers = {"images": Optimiser(0.1), "step_size": Optimiser(1e-3, 0.9)}
    run = Run(synthetic, Toward(), problem, optimisers, Key(0))
    x, s, velocity = stored(run)["images.values"].double(), 0.5, 0.0
    for step in range(3):
        gap = s * x - target(x.float(), Key(0).fold("step", step)).double()
        velocity = 0.9 * velocity + float((gap * x).sum())
        x, s = x - 0.1 * s * gap, s - 1e-3 * velocity
        run.advance()
    assert float(run.learned["step_size"].detach()) == pytest.approx(s, rel=1e-4)
    torch.testing.assert_close(stored(run)["images.values"].double(), x, rtol=1e-4, atol=1e-5)


@dataclass(frozen=True)
class Handing(Objective):
    """Hands its number on from `match`, and keeps it where it was, under the names of arguments."""

    name: ClassVar[str] = "handing"

    number: int = 1

    def init(self, problem: Problem, key: Key) -> State:
        return {"kept": 0, "learned": torch.zeros(2)}

    def learned(self, problem: Problem) -> Mapping[str, Tensor]:
        return {f"size{self.number}": torch.full((2,), 1.0 + self.number)}

    def match(
        self,
        images: Tensor,
        labels: Tensor,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
    ) -> Match:
        own = learned[f"size{self.number}"]
        slope = torch.zeros_like(images)
        beside = {f"size{self.number}": torch.ones(2)}
        return Match(own.sum(), slope, None, beside, {"one": {"number": self.number, "was": own}})

    def advance(
        self,
        synthetic: Synthetic,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
        kept: Mapping[str, Any] = NOTHING,
    ) -> State:
        assert torch.equal(kept["one"]["was"] - 1e-6, learned[f"size{self.number}"])
        return {"kept": state["kept"] + kept["one"]["number"], "learned": kept["one"]["was"]}


@pytest.mark.parametrize("summed", [False, True])
def test_what_is_handed_on_is_no_part_of_the_state(summed: bool) -> None:
    one = Handing(1)
    run = tiny_run(WeightedSum((one, Handing(3))) if summed else one)
    for _ in range(2):
        run.advance()
    first = run.state["0"] if summed else run.state
    assert first.keys() == {"kept", "learned"} and first["kept"] == 2
    torch.testing.assert_close(first["learned"], torch.full((2,), 2.0))
    if summed:
        assert run.state["1"]["kept"] == 6 and run.state.keys() == {"0", "1"}


def test_labels_are_learnt_where_an_objective_reaches_them() -> None:
    run = tiny_run(Toward(learnt=False, labels=True), learned_labels=True, optimiser=Optimiser(0.5))
    before = stored(run)["labels.values"]
    run.advance()
    torch.testing.assert_close(stored(run)["labels.values"], before / 2)


def test_only_selected_rows_are_updated() -> None:
    run = tiny_run(Toward(learnt=False, rows=(4, 1)), parametrization=LowRank(1))
    before = stored(run)
    run.advance()
    for name, tensor in stored(run).items():
        changed = (tensor != before[name]).flatten(1).any(dim=1)
        assert changed.nonzero().flatten().tolist() == [1, 4]


def test_clipping_limits_the_norm_of_a_role() -> None:
    free = tiny_run(Toward(learnt=False), optimiser=Optimiser(1.0))
    clipped = tiny_run(Toward(learnt=False), optimiser=Optimiser(1.0, clip=0.25))
    start = stored(free)["images.values"]
    free.advance(), clipped.advance()
    whole = stored(free)["images.values"] - start
    part = stored(clipped)["images.values"] - start
    assert float(part.norm()) == pytest.approx(0.25, rel=1e-4)
    torch.testing.assert_close(part, whole * (0.25 / whole.norm()), rtol=1e-3, atol=1e-6)


def test_a_loss_as_a_plain_scalar_gives_the_same_gradients() -> None:
    images = torch.randn(2, 1, 3, 3).requires_grad_()
    labels = torch.randn(2, 3).requires_grad_()
    match = gradients(images.square().sum(), images, labels)
    assert not match.loss.requires_grad and match.labels is None
    torch.testing.assert_close(match.images, 2 * images.detach())
    match = gradients(images.sum() * labels.sum(), images, labels)
    torch.testing.assert_close(match.labels, images.detach().sum().expand(2, 3))
    assert gradients(images.sum(), images).labels is None


# refusals


def test_learnt_labels_that_nothing_reaches_are_refused_by_name() -> None:
    run = tiny_run(DistributionMatching(5, "none"), learned_labels=True)
    before = stored(run)
    with pytest.raises(BadRequest, match="'distribution' gives no gradient to the learnt labels"):
        run.advance()
    assert all(torch.equal(before[name], tensor) for name, tensor in stored(run).items())


@dataclass(frozen=True)
class Reaching(Objective):
    """Loss and gradients as given."""

    name: ClassVar[str] = "reaching"

    loss: float = 1.0
    slope: float | None = 1.0
    learned_slope: float | None = None
    from_step: int = 0

    def learned(self, problem: Problem) -> Mapping[str, Tensor]:
        return {} if self.learned_slope is None else {"size": torch.ones(())}

    def match(
        self,
        images: Tensor,
        labels: Tensor,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
    ) -> Match:
        calm = key.path[-1] < self.from_step
        slope = None if self.slope is None else torch.ones_like(images)
        if slope is not None and not calm:
            slope[0, 0, 0, 0] = self.slope
        beside = {}
        if self.learned_slope is not None:
            beside["size"] = torch.tensor(0.0 if calm else self.learned_slope)
        return Match(torch.tensor(1.0 if calm else self.loss), slope, None, beside)


@pytest.mark.parametrize("learned_slope", [None, 1.0])
def test_images_that_nothing_reaches_are_refused_by_name(learned_slope: float | None) -> None:
    run = tiny_run(Reaching(slope=None, learned_slope=learned_slope))
    with pytest.raises(BadRequest, match="gives no gradient to the learnt images"):
        run.advance()


def test_a_role_without_an_optimiser_is_refused() -> None:
    problem = tiny_problem()
    synthetic = Synthetic(problem.layout, Pixels())
    with pytest.raises(BadRequest, match="nothing says how step_size are updated"):
        Run(synthetic, Toward(), problem, {"images": Optimiser(0.1)}, Key(0))
    with pytest.raises(BadRequest, match="nothing says how images are updated"):
        Run(synthetic, Toward(learnt=False), problem, {"labels": Optimiser(0.1)}, Key(0))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lr": 0.0}, "--lr 0"),
        ({"lr": -1.0}, "--lr -1"),
        ({"lr": float("nan")}, "--lr nan"),
        ({"lr": float("inf")}, "--lr inf"),
        ({"lr": 1.0, "momentum": 1.0}, "momentum 1"),
        ({"lr": 1.0, "momentum": -0.1}, "momentum -0.1"),
        ({"lr": 1.0, "kind": "sdg"}, "unknown optimiser 'sdg' (did you mean 'sgd'?)"),
        ({"lr": 1.0, "schedule": "cosin"}, "did you mean 'cosine'"),
    ],
)
def test_an_optimiser_out_of_range_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        Optimiser(**settings)
    assert said in str(refusal.value)


# divergence

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize(
    "bad",
    [
        {"loss": NAN},
        {"loss": INF},
        {"slope": INF},
        {"slope": NAN},
        {"slope": -INF},
        {"learned_slope": NAN},
        {"learned_slope": INF},
    ],
    ids=str,
)
def test_divergence_stops_the_run_before_the_set_is_touched(
    bad: dict[str, float], momentum: float
) -> None:
    run = tiny_run(Reaching(from_step=2, **bad), optimiser=Optimiser(0.125, momentum))
    run.advance(), run.advance()
    before = stored(run) | {name: v.detach().clone() for name, v in run.learned.items()}
    with pytest.raises(RunFailed) as failure:
        run.advance()
    said = str(failure.value)
    assert "diverged at step 2" in said and "lower --lr (now 0.125)" in said
    assert "--precision float32" in said
    after = stored(run) | {name: v.detach() for name, v in run.learned.items()}
    assert all(torch.equal(before[name], tensor) for name, tensor in after.items())
    assert run.step == 2 and run.finite()


@pytest.mark.parametrize("parametrization", [Pixels(), LowRank(2)])
def test_an_update_that_overflows_stops_the_run(parametrization) -> None:
    run = tiny_run(Reaching(slope=3e38), parametrization=parametrization, optimiser=Optimiser(1e30))
    with pytest.raises(RunFailed, match="diverged at step 0"):
        run.advance()


# checkpoints


def on_disk(run: Run, path: Path) -> dict[str, Any]:
    tensors, rest = flatten(run.state_dict())
    save_tensors(path, tensors, {"rest": rest})
    return unflatten(read_tensors(path), read_header(path)["rest"])


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return one == other


@pytest.mark.parametrize("kind", ["sgd", "adam", "lamb"])
@pytest.mark.parametrize("rank", [0, 2])
def test_a_run_goes_on_bit_for_bit(rank: int, kind: str, tmp_path: Path) -> None:
    def fresh() -> Run:
        return tiny_run(
            Toward(labels=True),
            parametrization=LowRank(rank) if rank else Pixels(),
            learned_labels=True,
            optimiser=Optimiser(1e-3, 0.5 if kind == "sgd" else 0.0, kind, schedule="cosine"),
            steps=6,
            average=0.9,
        )

    whole = fresh()
    losses = [whole.advance() for _ in range(6)]
    begun = fresh()
    assert [begun.advance() for _ in range(3)] == losses[:3]
    saved = on_disk(begun, tmp_path / "run.safetensors")
    assert same(saved, begun.state_dict())
    torch.manual_seed(99)
    torch.rand(5)
    resumed = fresh()
    resumed.advance()
    resumed.load_state_dict(saved)
    assert resumed.step == 3
    later = []
    for _ in range(3):
        torch.rand(1)
        resumed.probe()
        later.append(resumed.advance())
    assert later == losses[3:]
    assert same(resumed.state_dict(), whole.state_dict())


def test_a_state_taken_is_not_changed_by_later_steps() -> None:
    run = tiny_run(Toward(labels=True), learned_labels=True)
    run.advance()
    taken = run.state_dict()
    tensors, _ = flatten(taken)
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    losses = [run.advance() for _ in range(2)]
    assert all(torch.equal(before[name], tensor) for name, tensor in flatten(taken)[0].items())
    for _ in range(2):  # one state serves two runs
        other = tiny_run(Toward(labels=True), learned_labels=True)
        other.load_state_dict(taken)
        assert [other.advance() for _ in range(2)] == losses


def test_probing_changes_nothing() -> None:
    run = tiny_run(Toward())
    run.advance()
    before, _ = flatten(run.state_dict())
    before = {name: tensor.clone() for name, tensor in before.items()}
    run.probe()
    after, _ = flatten(run.state_dict())
    assert same(before, after) and run.step == 1


def test_the_loop_asks_before_and_tells_after_every_step() -> None:
    run = tiny_run(Toward(learnt=False))
    told: list[int] = []
    engine.loop(run, lambda run: run.step >= 2, lambda run, loss: told.append(run.step))
    engine.loop(run, lambda run: True, lambda run, loss: told.append(-1))
    assert told == [1, 2]
