import dataclasses

import pytest
import torch
from torch import Tensor

from attar.objectives import Problem, State
from attar.objectives.pool import Pool, centred_targets, mirrored, seen_labels
from attar.rng import Key
from attar.synthetic import Pixels, Synthetic
from attar.tensors import dotted
from catalogue import prepared_data, tiny_data, tiny_problem

POOL = Pool(size=4, age=10, lr=1e-2)
NETWORK = "frepo2:width=8"


def problem_of(per_class: int = 2) -> Problem:
    return tiny_problem(tiny_data(3), per_class, NETWORK)


def synthetic_of(problem: Problem, learned: bool = True) -> Synthetic:
    synthetic = Synthetic(problem.layout, Pixels(), learned)
    synthetic.images.start_from_noise(Key(5))
    if synthetic.labels is not None:
        synthetic.labels.fit(torch.randn(synthetic.labels.count, problem.layout.classes))
    return synthetic


def ages(pool: State) -> list[int]:
    return [pool[name]["age"] for name in sorted(pool)]


def same(one: State, other: State) -> bool:
    first, second = dotted(one["network"]), dotted(other["network"])
    return all(torch.equal(first[name], second[name]) for name in first)


def test_networks_begin_at_spread_ages_and_differ() -> None:
    pool = POOL.init(problem_of(), Key(0))
    assert ages(pool) == [0, 2, 5, 7]
    assert ages(Pool().init(problem_of(), Key(0))) == list(range(0, 100, 10))
    assert not same(pool["0"], pool["1"])
    again, other = POOL.init(problem_of(), Key(0)), POOL.init(problem_of(), Key(1))
    assert all(same(pool[name], again[name]) for name in pool)
    assert not same(pool["0"], other["0"])


def test_every_network_is_chosen_about_equally_often() -> None:
    chosen = [POOL.chosen(Key(0).fold(step)) for step in range(400)]
    counts = [chosen.count(str(i)) for i in range(4)]
    assert sum(counts) == 400 and min(counts) > 70
    assert POOL.chosen(Key(7)) == POOL.chosen(Key(7))


def test_a_network_ages_by_training_and_is_drawn_anew_past_its_age() -> None:
    """The order of the authors' loop: a counter above the age draws, anything else trains."""
    problem = problem_of()
    synthetic, pool = synthetic_of(problem), POOL.init(problem_of(), Key(0))
    seen = []
    for step in range(12):
        previous, pool = pool, POOL.advance(synthetic, problem, pool, "3", Key(1).fold(step))
        seen.append(pool["3"]["age"])
        assert not same(previous["3"], pool["3"])
        # the others are as they were
        assert all(pool[name] is previous[name] for name in ("0", "1", "2"))
    # from 7 on: trained at 7, 8, 9 and 10, too old at 11
    assert seen == [8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 6, 7]


def test_what_is_drawn_anew_is_untrained_and_new() -> None:
    problem = problem_of()
    synthetic, pool = synthetic_of(problem), POOL.init(problem, Key(0))
    pool["0"] = {**pool["0"], "age": POOL.age + 1}
    drawn = [POOL.advance(synthetic, problem, pool, "0", Key(seed))["0"] for seed in (1, 1, 2)]
    assert all(one["adam"] == {} and one["age"] == 0 for one in drawn)
    assert same(drawn[0], drawn[1])
    assert not same(drawn[0], drawn[2]) and not same(drawn[0], pool["0"])


@pytest.mark.parametrize("learned", [True, False])
def test_training_is_adam_on_the_squared_error_of_the_set(learned: bool) -> None:
    problem = problem_of()
    synthetic, pool = synthetic_of(problem, learned), POOL.init(problem, Key(0))
    module = problem.network.draw(Key(9)).train()
    module.load_state_dict(
        {
            name.removeprefix("module."): tensor
            for name, tensor in dotted(pool["1"]["network"]).items()
        }
    )
    optimiser = torch.optim.Adam(module.parameters(), lr=POOL.lr)
    with torch.no_grad():
        images, labels = synthetic(torch.arange(len(synthetic)))
    targets = labels if learned else labels - 1 / 3
    for step in range(3):
        pool = POOL.advance(synthetic, problem, pool, "1", Key(1).fold(step))
        optimiser.zero_grad()
        (0.5 * ((module(images) - targets) ** 2).sum(dim=1)).mean().backward()
        optimiser.step()
    found = dotted(pool["1"]["network"])
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(found[f"module.{name}"], tensor, rtol=1e-4, atol=1e-5)
    assert int(found["module.body.3.num_batches_tracked"]) == 3


def test_training_takes_the_set_as_it_is_now() -> None:
    problem = problem_of()
    synthetic, pool = synthetic_of(problem), POOL.init(problem, Key(0))
    before = POOL.advance(synthetic, problem, pool, "0", Key(1))
    with torch.no_grad():
        next(iter(synthetic.images.parameters())).mul_(2)
    after = POOL.advance(synthetic, problem, pool, "0", Key(1))
    assert not same(before["0"], after["0"])


def test_a_large_set_is_trained_on_in_random_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_of(4)
    synthetic = synthetic_of(problem)
    taken: list[Tensor] = []
    forward = Synthetic.forward

    def noting(self: Synthetic, index: Tensor):
        taken.append(index)
        return forward(self, index)

    monkeypatch.setattr(Synthetic, "forward", noting)
    small = dataclasses.replace(POOL, batch=5)
    pool = small.init(problem, Key(0))
    for step in range(20):
        small.advance(synthetic, problem, pool, "0", Key(1).fold(step))
    assert all(len(rows) == 5 == len(rows.unique()) for rows in taken)
    assert len(torch.cat(taken).unique()) == 12
    assert not torch.equal(taken[0], taken[1])
    taken.clear()
    POOL.advance(synthetic, problem, pool, "0", Key(1))
    assert torch.equal(taken[0], torch.arange(12))


def test_advancing_changes_nothing_that_is_there() -> None:
    problem = problem_of()
    synthetic, pool = synthetic_of(problem), POOL.init(problem, Key(0))
    pool = POOL.advance(synthetic, problem, pool, "0", Key(1))
    kept = {name: tensor.clone() for name, tensor in dotted(pool["0"]).items() if name != "age"}
    ends = [POOL.advance(synthetic, problem, pool, "0", Key(2)) for _ in range(2)]
    now = dotted(pool["0"])
    assert all(torch.equal(kept[name], now[name]) for name in kept)
    assert same(ends[0]["0"], ends[1]["0"])


def test_features_use_running_statistics() -> None:
    problem = problem_of()
    pool = POOL.init(problem, Key(0))
    pool = POOL.advance(synthetic_of(problem), problem, pool, "2", Key(1))
    tensors = POOL.tensors(problem, pool, "2")
    images = torch.randn(6, *problem.layout.shape, generator=torch.Generator().manual_seed(1))
    whole = POOL.embedding(problem)(tensors, images)
    torch.testing.assert_close(POOL.embedding(problem)(tensors, images[:1]), whole[:1])


def test_targets_are_centred_unless_the_data_bring_their_own() -> None:
    problem = problem_of()
    index = torch.arange(7)
    wanted = torch.nn.functional.one_hot(problem.data.labels[:7], 3) - 1 / 3
    torch.testing.assert_close(centred_targets(problem, index), wanted)
    own = torch.randn(len(problem.data), 3)
    data = dataclasses.replace(prepared_data(tiny_data(3)), targets=own)
    given = tiny_problem(data, 2, NETWORK)
    assert torch.equal(centred_targets(given, index), own[:7])


def test_labels_are_centred_unless_they_are_learnt() -> None:
    problem = problem_of()
    labels = torch.eye(3)
    torch.testing.assert_close(seen_labels(labels, problem).sum(dim=1), torch.zeros(3))
    learnt = dataclasses.replace(problem, learned_labels=True)
    assert seen_labels(labels, learnt) is labels


def test_mirror_images_follow_with_the_same_labels() -> None:
    images, labels = torch.arange(8.0).view(2, 1, 2, 2), torch.eye(2)
    both, twice = mirrored(images, labels)
    assert both[2:].flatten().tolist() == [1, 0, 3, 2, 5, 4, 7, 6]
    assert torch.equal(both[:2], images) and torch.equal(twice, torch.cat([labels, labels]))


def test_training_in_parts_is_that_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    # where no gradient is zero but for rounding, since Adam steps by its sign
    problem = tiny_problem(tiny_data(3), 3, "convnet2:width=8,norm=none")
    synthetic, pool = synthetic_of(problem), POOL.init(problem, Key(0))
    whole = POOL.advance(synthetic, problem, pool, "0", Key(1))
    monkeypatch.setattr("attar.training.call_size.GRAPH", 4 * problem.network.graph_bytes)
    found = POOL.advance(synthetic, problem, pool, "0", Key(1))
    first, second = dotted(whole["0"]["network"]), dotted(found["0"]["network"])
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=1e-3, atol=1e-5)
    # in other calls, so that the last bits differ
    assert not same(whole["0"], found["0"])
