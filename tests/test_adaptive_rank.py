"""Low-rank factors whose rank is each channel's own (``--rank auto``)."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

import attar
from attar.condensing.composition import form_of, form_text
from attar.condensing.engine import Run
from attar.errors import ArtefactError, BadRequest
from attar.methods import Task
from attar.objectives import DistributionMatching
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.stored import open_stored
from attar.synthetic import Layout, LowRank, OrderedSVD, Pixels, Synthetic, slice_of
from attar.synthetic.stores import AdaptiveRank
from attar.synthetic.stores.adaptive import EVERY
from attar.tensors import save_tensors
from catalogue import tiny_data, tiny_problem
from references.adaptive import out_of_reach, product, shared_out, truncated

SMALL: dict[str, Any] = {
    "method": "dm",
    "rank": "auto",
    "synthetic_per_class": 2,
    "network": "convnet2:width=8",
    "validation": 0,
    "precision": "float32",
    "torch_compile": "off",
}
ITEM = (2, 7, 5)
# spectra that differ: of falling ranks
ROWS = torch.stack(
    [
        torch.randn(2, 7, 1 + n % 3, generator=Key(n).generator())
        @ torch.randn(2, 1 + n % 3, 5, generator=Key(n, 1).generator())
        for n in range(6)
    ]
)


def fitted() -> AdaptiveRank:
    store = AdaptiveRank(6, ITEM, 2)
    store.fit(ROWS)
    return store


def counts_of(store: AdaptiveRank) -> list[int]:
    return store.counts.tolist()


def test_components_go_where_singular_values_are_largest() -> None:
    store = fitted()
    wanted = shared_out(ROWS, store.components)
    assert counts_of(store) == wanted and len(set(wanted)) > 1
    found = store(torch.arange(6))
    torch.testing.assert_close(found.double(), truncated(ROWS, wanted), atol=1e-5, rtol=0)
    whole = product(store.left, store.right, wanted, tuple(ROWS.shape))
    torch.testing.assert_close(found.double(), whole, atol=1e-5, rtol=0)


def test_rows_are_read_alone_as_among_others_with_the_gradient_of_the_sum() -> None:
    store = fitted()
    index = torch.tensor([4, 0, 4])
    found = store(index)
    torch.testing.assert_close(found, store(torch.arange(6))[index])
    weight = torch.randn(found.shape, generator=Key(3).generator())
    (found * weight).sum().backward()
    left, right = (one.detach().double().requires_grad_() for one in (store.left, store.right))
    made = product(left, right, counts_of(store), tuple(ROWS.shape))
    (made[index] * weight.double()).sum().backward()
    for own, wanted in ((store.left, left), (store.right, right)):
        assert own.grad is not None and wanted.grad is not None
        torch.testing.assert_close(own.grad.double(), wanted.grad, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rank", [2, 3, 5])
def test_it_takes_the_values_of_the_rank_that_is_its_mean(rank: int) -> None:
    layout = Layout(3, 2, ITEM)
    auto, fixed = (Synthetic(layout, LowRank(rank, auto=one)) for one in (True, False))
    assert auto.parametrization.values(layout) == fixed.parametrization.values(layout)
    assert auto.ledger().all == fixed.ledger().all
    assert sum(one.numel() for one in auto.state_dict().values()) == fixed.ledger().all // 4


def test_noise_is_shared_out_equally() -> None:
    store = AdaptiveRank(6, ITEM, 2)
    store.fit(ROWS)
    store.start_from_noise(Key(0))
    assert max(counts_of(store)) - min(counts_of(store)) == 1
    assert sum(counts_of(store)) == store.components


def test_the_least_components_move_to_where_the_gradient_is_out_of_reach() -> None:
    store = fitted()
    before = store(torch.arange(6)).detach()
    slope = torch.randn(before.shape, generator=Key(5).generator())
    slope[3] *= 100
    (store(torch.arange(6)) * slope).sum().backward()
    counts, left, right = counts_of(store), store.left.detach().clone(), store.right.detach()
    ends = torch.tensor(counts).cumsum(0).tolist()
    need = [
        float(torch.linalg.svdvals(out_of_reach(one, left[end - n : end], right[end - n : end]))[0])
        for one, n, end in zip(slope.view(-1, 7, 5), counts, ends, strict=True)
    ]
    taker = max(
        (number for number in range(len(need)) if counts[number] < 5), key=lambda n: need[n]
    )
    assert store.adapt(EVERY + 1, None) is None
    (store(torch.arange(6)) * slope).sum().backward()
    move = store.adapt(EVERY, None)
    assert move is not None and len(move.fresh) == 1
    assert counts_of(store)[taker] == counts[taker] + 1
    assert sum(counts_of(store)) == store.components and min(counts_of(store)) >= 1
    # what is new adds nothing yet, and its first gradient is along what was out of reach
    assert not bool(store.left[move.fresh].any())
    changed = (store(torch.arange(6)).detach() - before).flatten(2).norm(dim=2).flatten()
    assert changed.count_nonzero() == 1 and not bool(changed[taker])
    wanted = torch.linalg.svdvals(slope.view(-1, 7, 5)[taker].double())[0]
    along = store.right.detach()[move.fresh][0].double()
    made = (slope.view(-1, 7, 5)[taker].double() @ along).norm() / along.norm()
    assert need[taker] - 1e-3 <= float(made) <= float(wanted) + 1e-3


def test_nothing_moves_without_a_gradient_or_near_the_end() -> None:
    store = fitted()
    assert store.adapt(EVERY, None) is None
    (store(torch.arange(6)) * torch.randn(ROWS.shape)).sum().backward()
    assert store.adapt(EVERY, EVERY) is None


def tiny(average: float = 0.0, kind: str = "sgd") -> Run:
    problem = tiny_problem()
    layout = dataclasses.replace(problem.layout, per_class=2)
    problem = dataclasses.replace(problem, layout=layout)
    synthetic = Synthetic(layout, LowRank(2, auto=True))
    synthetic.images.start_from_noise(Key(1))
    own = Optimiser(0.1, momentum=0.5 if kind == "sgd" else 0.0, kind=kind)
    objective = DistributionMatching(batch_real=5)
    return Run(synthetic, objective, problem, {"images": own}, Key(0), average=average)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_momentum_and_average_move_along_and_a_resumed_run_is_the_same(kind: str) -> None:
    run_ = tiny(0.9, kind)
    leaf = run_.synthetic.images
    assert isinstance(leaf, AdaptiveRank)
    begun = counts_of(leaf)
    assert min(begun) < max(begun)
    for _ in range(EVERY - 1):
        run_.advance()
    assert counts_of(leaf) == begun
    saved = run_.state_dict()
    run_.advance()
    assert counts_of(leaf) != begun
    assert run_.averaged is not None and isinstance(run_.averaged.images, AdaptiveRank)
    assert counts_of(run_.averaged.images) == counts_of(leaf)
    state = run_.updater.optimisers["images"].state[leaf.left]
    kept = state["momentum_buffer" if kind == "sgd" else "exp_avg"]
    fresh = (leaf.left.detach() == 0).all(dim=1)
    assert fresh.any() and not bool(kept[fresh].any())
    again = tiny(0.9, kind)
    again.load_state_dict(saved)
    for _ in range(3):
        again.advance()
    for _ in range(2):
        run_.advance()
    for name, one in run_.synthetic.state_dict().items():
        assert torch.equal(one, again.synthetic.state_dict()[name]), name
    for name, one in run_.averaged.state_dict().items():
        assert again.averaged is not None
        assert torch.equal(one, again.averaged.state_dict()[name]), name


@pytest.mark.parametrize("storage", ["float32", "float16", "float8", "int8", "int4", "int3:rate=1"])
def test_the_ranks_come_back_from_a_file(storage: str, tmp_path: Path) -> None:
    path = tmp_path / "auto.safetensors"
    made = attar.condense(
        tiny_data(), iterations=2, storage=storage, init="real", output=path, **SMALL
    )
    own, found = made.synthetic.images, attar.load(path).synthetic.images
    assert isinstance(own, AdaptiveRank) and isinstance(found, AdaptiveRank)
    assert counts_of(own) == counts_of(found) and len(set(counts_of(own))) > 1
    assert torch.equal(attar.load(path).images, made.images)


@pytest.mark.parametrize("odd", ["none", "more", "late", "nan", "wide"])
def test_ranks_that_do_not_add_up_are_refused(odd: str, tmp_path: Path) -> None:
    path = tmp_path / "auto.safetensors"
    wider = SMALL | {"synthetic_per_class": 4}
    attar.condense(tiny_data(), iterations=0, output=path, **wider)
    with open_stored(path) as stored:
        tensors, header = stored.all(), dict(stored.header)
    first = tensors["images.first"]
    begins = first[0].nonzero().flatten()
    if odd == "none":
        first.zero_()
    elif odd == "nan":
        first[0, 0] = float("nan")
    elif odd == "more":
        first[0, begins[1] - 1] = 1.0
    elif odd == "late":
        first[0, 0], first[0, begins[1] - 1] = 0.0, 1.0
    else:
        first.zero_()
        first[0, : len(begins)] = 1.0
    save_tensors(path, tensors, header)
    with pytest.raises(ArtefactError):
        attar.load(path)


def test_by_name_and_as_text() -> None:
    task = Task("cifar10", 10, (3, 32, 32), 10)
    assert form_of("low_rank:rank=auto", task) == LowRank(2, auto=True)
    assert form_of("low_rank:rank=auto:8", task) == LowRank(8, auto=True)
    assert form_of("low_rank:rank=auto,base=tiled", task).describe()["auto"] is True
    assert form_of(form_text(LowRank(3, auto=True)), task) == LowRank(3, auto=True)
    assert "auto" not in LowRank(2).describe()
    made = attar.condense(tiny_data(), iterations=0, **SMALL)
    assert made.header.parametrization["auto"] is True
    eight = attar.condense(tiny_data(), iterations=0, **SMALL | {"rank": "auto:8"})
    assert eight.header.parametrization == LowRank(8, auto=True).describe()
    other = attar.condense(tiny_data(), iterations=0, **SMALL | {"method": "lodm", "rank": 3})
    assert other.header.parametrization == LowRank(3).describe()


def test_what_it_cannot_be_is_refused() -> None:
    with pytest.raises(BadRequest, match="--rank 'auto:x': a whole number is needed, or auto"):
        attar.Request(rank="auto:x")
    with pytest.raises(BadRequest, match="--rank 'many': a whole number is needed, or auto"):
        attar.Request(rank="many")
    with pytest.raises(BadRequest, match="mean rank of 1 leaves nothing"):
        Synthetic(Layout(2, 1, (3, 8, 8)), LowRank(1, auto=True))
    with pytest.raises(BadRequest, match="'ordered_svd' keeps its first things"):
        LowRank(2, OrderedSVD(), auto=True)
    with pytest.raises(BadRequest, match="--nested: in the form"):
        attar.condense(tiny_data(), nested=True, **SMALL)
    made = attar.condense(tiny_data(), iterations=0, **SMALL)
    with pytest.raises(BadRequest, match="images share what is stored"):
        attar.merge(made, made, shared="join")
    with pytest.raises(BadRequest, match="cannot be parted by class"):
        made.of_classes(made.header.class_names[:1])
    with pytest.raises(BadRequest, match="share what is stored"):
        slice_of(Synthetic(Layout(3, 2, ITEM), LowRank(2, Pixels(), auto=True)), [1])
