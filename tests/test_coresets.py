"""What selectors choose: by hand, against slow references, and as sets of real images."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import attar
from attar.cli import run
from attar.condensing.request import INITS
from attar.condensing.telling import Callback
from attar.coresets import (
    SELECTORS,
    Confident,
    Crops,
    Forgetting,
    Herding,
    KCenter,
    RandomImages,
    Study,
    StudyingSelector,
    forgetting_counts,
    herding,
    kcenter,
    most_forgotten,
    train,
)
from attar.data import LabelledImages, Splits
from attar.errors import BadRequest, RunFailed
from attar.methods import METHODS
from attar.networks import build
from attar.objectives import OBJECTIVES
from attar.rng import Key
from catalogue import COMPUTE, NETWORK, tiny_data
from references import coresets as slow

STUDYING = ("herding", "forgetting", "kcenter")


def features(seed: int, count: int = 12, width: int = 3) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def table(*histories: str) -> Tensor:
    """Return E×N from one word of 0s and 1s per image."""
    return torch.tensor([[step == "1" for step in own] for own in histories]).T


def test_herding_by_hand() -> None:
    # mean (2, 2); nearest to it is 4; then only a pair of opposite corners keeps the mean
    corners = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0], [2.0, 2.0]])
    assert herding(corners, 5).tolist() == [4, 0, 3, 1, 2]
    # mean 4: -4 0 1 3 around it; after 0 and 1, -4 leaves -3 behind and 3 leaves 4
    line = torch.tensor([[0.0], [4.0], [5.0], [7.0]])
    assert herding(line, 4).tolist() == [1, 2, 0, 3]


def test_kcenter_by_hand() -> None:
    # mean 4.4, nearest 4; then 10 (6 away) and 0 (4 away); 6 and 2 are both 2 away from 4
    line = torch.tensor([[6.0], [0.0], [10.0], [4.0], [2.0]])
    assert kcenter(line, 5).tolist() == [3, 2, 1, 0, 4]


@pytest.mark.parametrize("seed", range(5))
def test_greedy_choices_are_those_of_the_reference(seed: int) -> None:
    points = features(seed)
    listed = points.double().tolist()
    assert herding(points, 12).tolist() == slow.herding(listed, 12)
    assert kcenter(points, 12).tolist() == slow.kcenter(listed, 12)


@pytest.mark.parametrize("choose", [herding, kcenter])
def test_all_products_at_once_choose_what_one_by_one_does(
    choose: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = torch.randn(300, 40, generator=torch.Generator().manual_seed(5)).relu()
    at_once = choose(features, 300)
    monkeypatch.setattr("attar.coresets.geometry._ROOM", 0)
    assert at_once.tolist() == choose(features, 300).tolist()
    assert sorted(at_once.tolist()) == list(range(300))


@pytest.mark.parametrize("choose", [herding, kcenter])
def test_a_choice_of_fewer_is_the_head_of_a_choice_of_more(choose: Any) -> None:
    points = features(0, 40, 6)
    everything = choose(points, 100)
    assert sorted(everything.tolist()) == list(range(40))
    for count in (1, 7, 40):
        assert torch.equal(choose(points, count), everything[:count])


@pytest.mark.parametrize("choose", [herding, kcenter])
def test_copies_of_an_image_are_each_chosen_once(choose: Any) -> None:
    same = torch.full((4, 2), 0.1)
    assert sorted(choose(same, 4).tolist()) == [0, 1, 2, 3]
    points = torch.cat([features(1, 5), features(1, 5)])
    assert sorted(choose(points, 10).tolist()) == list(range(10))


def test_features_are_not_scaled_to_unit_length() -> None:
    # at unit length the first two would be one point, and nearest to the mean
    points = torch.tensor([[1.0, 0.0], [9.0, 0.0], [0.0, 2.0]])
    assert herding(points, 1).tolist() == [0]
    assert kcenter(points, 2).tolist() == [0, 1]


@pytest.mark.parametrize("count", [2, 3, 4])
def test_kcenter_covers_at_most_twice_as_wide_as_the_best(count: int) -> None:
    for seed in range(4):
        points = features(seed, 9, 2)
        found = slow.radius(points.double().tolist(), kcenter(points, count).tolist())
        assert found <= 2 * slow.smallest_radius(points.double().tolist(), count) + 1e-9


def test_forgetting_by_hand() -> None:
    histories = ("0000", "1111", "0111", "1010", "0101", "1100", "0100", "1000", "0001")
    expected = [4, 0, 0, 2, 1, 1, 1, 1, 0]
    assert forgetting_counts(table(*histories)).tolist() == expected
    never_learnt_is_most = [slow.forgetting([step == "1" for step in own]) for own in histories]
    assert [min(count, 4) for count in never_learnt_is_most] == expected
    assert forgetting_counts(table("0", "1")).tolist() == [1, 0]


def test_never_learnt_is_more_than_any_number_of_times_forgotten() -> None:
    for epochs in range(1, 9):
        often = "10" * epochs
        counts = forgetting_counts(table("0" * epochs, often[:epochs])).tolist()
        assert counts[0] > counts[1]


def test_the_most_forgotten_come_first_and_equals_in_an_order_drawn_from_the_key() -> None:
    correct = table("1111", "1010", "0000", "1000", "0000", "0100", "0111", "0000")
    groups = [{2, 4, 7}, {1}, {3, 5}, {0, 6}]
    orders = {tuple(most_forgotten(correct, 20, Key(seed)).tolist()) for seed in range(20)}
    assert len(orders) > 5
    for order in orders:
        left = list(order)
        for group in groups:
            head, left = left[: len(group)], left[len(group) :]
            assert set(head) == group
    again = most_forgotten(correct, 8, Key(3))
    assert torch.equal(most_forgotten(correct, 8, Key(3)), again)
    assert torch.equal(most_forgotten(correct, 2, Key(3)), again[:2])


def study_of(data: LabelledImages, network: str = NETWORK, **changes: Any) -> Study:
    channels, height, width = data.shape
    options = {"epochs": 3, "lr": 0.05, "batch": 8, "key": Key(2)} | changes
    return train(data, build(network, channels, (height, width), data.classes), COMPUTE, **options)


@pytest.mark.parametrize("network", [NETWORK, f"{NETWORK},norm=batch"])
def test_the_study_is_plain_training_with_a_record(network: str) -> None:
    data = tiny_data(counts=(9, 11, 5))
    told: list[tuple[int, int]] = []
    study = study_of(data, network, watch=lambda what, done, total: told.append((done, total)))

    module = build(network, 1, (8, 8), 3).draw(Key(2).fold("network")).train()
    optimiser = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    correct = torch.zeros(3, 25, dtype=torch.bool)
    for epoch in range(3):
        order = torch.randperm(25, generator=Key(2).fold("order", epoch).generator())
        # 25 images in batches of at most 8
        for rows in (order[:7], order[7:13], order[13:19], order[19:]):
            scores = module(data.take(rows))
            correct[epoch, rows] = scores.argmax(dim=1) == data.labels[rows]
            optimiser.zero_grad()
            nn.functional.cross_entropy(scores, data.labels[rows]).backward()
            optimiser.step()
    assert torch.equal(study.correct, correct)
    assert 0 < int(correct.sum()) < 75
    trained = dict(module.state_dict())
    for name, tensor in study.tensors.items():
        torch.testing.assert_close(tensor, trained[name.removeprefix("module.")])
        assert not tensor.requires_grad

    assert told == [(done, 12) for done in range(1, 13)]
    index = torch.tensor([24, 3, 3, 0, 17])
    with torch.no_grad():
        expected = module.eval().embed(data.take(index))  # pyright: ignore[reportCallIssue]
    torch.testing.assert_close(study.features(index), expected)
    # more than one call takes, and the last one not full
    several = study.features(torch.arange(25).repeat(3))
    torch.testing.assert_close(several[50:], study.features(torch.arange(25)))


def test_a_training_that_diverges_is_told() -> None:
    with pytest.raises(RunFailed, match=r"diverged in epoch 1.*lr_selection \(now 1e\+30\)"):
        study_of(tiny_data(), lr=1e30)


def test_features_that_are_no_numbers_are_refused() -> None:
    study = study_of(tiny_data(), epochs=1)
    broken = {name: tensor * torch.nan for name, tensor in study.tensors.items()}
    study = dataclasses.replace(study, tensors=broken)
    for selector in (Herding(), KCenter()):
        with pytest.raises(RunFailed, match=r"features that are NaN or Inf.*--precision float32"):
            selector.rank(study, 0, 1, Key(0))


def test_rankings_are_of_the_class_asked_for() -> None:
    data = tiny_data(counts=(9, 14, 3))
    study = study_of(data)
    for label, own in enumerate(data.indices_of_class):
        seen = study.features(own)
        expected = {
            Herding: own[slow.herding(seen.double().tolist(), 5)],
            KCenter: own[slow.kcenter(seen.double().tolist(), 5)],
            Forgetting: own[most_forgotten(study.correct[:, own], 5, Key(1).fold("ties", label))],
        }
        for kind, wanted in expected.items():
            assert torch.equal(kind().rank(study, label, 5, Key(1)), wanted)


def choose(name: str, data: LabelledImages, per_class: int, seed: int = 0) -> list[Tensor]:
    channels, height, width = data.shape
    network = build(NETWORK, channels, (height, width), data.classes)
    kind = SELECTORS[name]
    selector = kind(epochs=2, batch_selection=9) if issubclass(kind, StudyingSelector) else kind()
    return selector.choose(data, [per_class] * data.classes, network, COMPUTE, Key(seed))


@pytest.mark.parametrize("name", SELECTORS)
def test_selectors_choose_distinct_images_of_every_class(name: str) -> None:
    data = tiny_data(counts=(9, 30, 3))
    chosen = choose(name, data, 5)
    assert [len(index) for index in chosen] == [5, 5, 3]
    for label, index in enumerate(chosen):
        assert len(set(index.tolist())) == len(index)
        assert bool((data.labels[index] == label).all())
    for first, again in zip(chosen, choose(name, data, 5), strict=True):
        assert torch.equal(first, again)
    others = choose(name, data, 5, seed=1)
    assert any(not torch.equal(a, b) for a, b in zip(chosen, others, strict=True))


def test_random_images_are_those_drawn_from_the_data() -> None:
    data = tiny_data()
    for label, index in enumerate(choose("real", data, 2, seed=4)):
        assert torch.equal(index, data.draw(label, 2, Key(4).fold(label)))
    assert RandomImages().passes(data) == 0
    assert Herding(epochs=5).passes(data) == 16 * len(data)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"epochs": 0}, "--set epochs=0: at least 1"),
        ({"batch_selection": 0}, "--set batch_selection=0: at least 1"),
        ({"lr_selection": 0.0}, "--set lr_selection=0: a positive number"),
        ({"lr_selection": float("nan")}, "--set lr_selection=nan: a positive number"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], text: str) -> None:
    for kind in (Herding, KCenter, Forgetting):
        with pytest.raises(BadRequest, match=text):
            kind(**settings)


def test_names() -> None:
    coresets = {name for name, method in METHODS.items() if method.coreset}
    assert coresets == {"random", "coded", "confident", "taught", "rded", "kd", *STUDYING}
    assert set(INITS) == {"noise", *SELECTORS}
    assert all(SELECTORS[name].name == name for name in SELECTORS)
    # --set could not tell them apart
    of_selectors = {item.name for kind in (Confident, Crops) for item in dataclasses.fields(kind)}
    for objective in OBJECTIVES.values():
        assert not of_selectors & {item.name for item in dataclasses.fields(objective)}  # pyright: ignore[reportArgumentType]


OPTIONS: dict[str, Any] = {"network": NETWORK, "settings": ("epochs=2",), "device": "cpu"}


def made(method: str, data: LabelledImages | None = None, /, **changes: Any) -> attar.Artefact:
    data = data or tiny_data()
    return attar.condense(Splits(data, data), method=method, **(OPTIONS | changes))


def rows_of(artefact: attar.Artefact, label: int) -> Tensor:
    n = artefact.header.images_per_class
    return artefact.images[label * n : (label + 1) * n]


@pytest.mark.parametrize("method", STUDYING)
def test_a_coreset_is_an_artefact_of_real_images(method: str, tmp_path: Path) -> None:
    data = tiny_data(counts=(9, 14, 6))
    out = tmp_path / "set.safetensors"
    artefact = made(method, data, ipc=5, seed=3, output=out)
    assert artefact.header.step == 0 and artefact.header.method == method
    assert artefact.header.settings["iterations"] == 0
    assert not {"objective", "optimisers", "average"} & artefact.header.settings.keys()
    assert artefact.header.settings["init"] == {
        "name": method,
        "epochs": 2,
        "lr_selection": 0.01,
        "batch_selection": 256,
    }
    assert artefact.totals.paper == artefact.totals.all == 3 * 5 * 64 * 4
    kinds = {"herding": Herding, "forgetting": Forgetting, "kcenter": KCenter}
    network = build(NETWORK, 1, (8, 8), 3)
    index = kinds[method](epochs=2).choose(
        data, [5] * data.classes, network, COMPUTE, Key(3).fold("start")
    )
    assert torch.equal(artefact.images, data.take(torch.cat(index)))
    assert torch.equal(artefact.labels, data.labels[torch.cat(index)])
    loaded = attar.load(out)
    assert torch.equal(loaded.images, artefact.images) and loaded.header == artefact.header
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set.log.jsonl", "set.safetensors"]
    assert torch.equal(made(method, data, ipc=5, seed=3).images, artefact.images)


@pytest.mark.parametrize("method", STUDYING)
def test_a_smaller_budget_takes_the_first_of_a_larger_one(method: str) -> None:
    large, small = (made(method, ipc=count) for count in (3, 2))
    for label in range(3):
        assert torch.equal(rows_of(large, label)[:2], rows_of(small, label))


@pytest.mark.parametrize("method", STUDYING)
def test_a_small_class_gives_its_images_again_as_random_does(method: str) -> None:
    data = tiny_data(counts=(12, 15, 2))
    for found in (made(method, data, ipc=5), made("random", data, ipc=5, settings=())):
        own = rows_of(found, 2)
        assert len(torch.unique(own.flatten(1), dim=0)) == 2
        assert torch.equal(own[:2], own[2:4]) and torch.equal(own[0], own[4])


def test_no_budget_exceeds_the_data() -> None:
    for method in STUDYING:
        with pytest.raises(BadRequest, match="larger than the 26 training images"):
            made(method, ipc=9)


@pytest.mark.parametrize("method", ["random", *STUDYING])
@pytest.mark.parametrize(
    ("options", "given"),
    [
        ({"iterations": 5}, "--iterations 5"),
        ({"minutes": 0.5}, "--minutes 0.5"),
        ({"init": "noise"}, "--init noise"),
        ({"lr": 0.1}, "--lr 0.1"),
        ({"momentum": 0.5}, "--momentum 0.5"),
        ({"optimiser": "adam"}, "--optimiser adam"),
        ({"schedule": "linear"}, "--schedule linear"),
        ({"average": 0.9}, "--average 0.9"),
    ],
)
def test_coresets_are_not_updated(method: str, options: dict[str, Any], given: str) -> None:
    own = "real" if method == "random" else method
    said = f"{given}: method '{method}' chooses real images and never updates them; .*--init {own}"
    with pytest.raises(BadRequest, match=said):
        made(method, **(options | {"settings": ()}))
    assert made(method, settings=(), iterations=0, init=own).header.step == 0


def test_an_unknown_setting_is_told_with_those_there_are() -> None:
    with pytest.raises(BadRequest, match=r"of herding 'epoch' .*'epochs'"):
        made("herding", settings=("epoch=2",))
    with pytest.raises(BadRequest, match="--set batch_real=2: the method has no settings"):
        made("random", settings=("batch_real=2",))
    with pytest.raises(BadRequest, match="of distribution 'epochs'"):
        made("lodm", iterations=0)


@pytest.mark.parametrize(
    ("method", "init"),
    [("dm", "herding"), ("dm", "forgetting"), ("dc", "kcenter"), ("lodm", "herding")],
)
def test_every_condenser_starts_from_a_coreset(method: str, init: str) -> None:
    data = tiny_data(size=8)
    options = {"validation": 0, "seed": 2, "synthetic_per_class": 2}
    coreset = made(init, data, **options)
    start = made(method, data, init=init, iterations=0, **options)
    if method == "lodm":
        values = torch.linalg.svdvals(coreset.images - start.images)
        whole = torch.linalg.svdvals(coreset.images)
        # the factors hold the best form of rank 2
        torch.testing.assert_close(values[..., :6], whole[..., 2:], rtol=1e-3, atol=1e-3)
    else:
        assert torch.equal(start.images, coreset.images)
    moved = made(method, data, init=init, iterations=2, **options)
    assert moved.header.step == 2 and not torch.equal(moved.images, start.images)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by one with every network trained to choose with."""
    calls: list[int] = []

    def counting(*arguments: Any, **options: Any) -> Study:
        calls.append(1)
        return train(*arguments, **options)

    monkeypatch.setattr("attar.coresets.selectors.train", counting)
    return calls


class Interrupting(Callback):
    """Presses Ctrl-C, as it were, at a step or while images are chosen."""

    def __init__(self, step: int | None) -> None:
        self.step = step

    def reading(self, what: str, done: int, total: int) -> None:
        if self.step is None and "real images" in what:
            raise KeyboardInterrupt

    def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
        if step == self.step:
            raise RunFailed("stopped here")


def test_a_resumed_run_does_not_choose_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "set.safetensors"
    options: dict[str, Any] = {"init": "herding", "iterations": 4, "checkpoint_seconds": 0.0}
    whole = made("dm", **options)
    calls = counted(monkeypatch)
    with pytest.raises(RunFailed, match="stopped here"):
        made("dm", output=out, callback=Interrupting(3), **options)
    assert len(calls) == 1
    with pytest.raises(BadRequest, match=r"another init .*'epochs': 2.*'epochs': 3"):
        made("dm", output=out, resume=True, **(options | {"settings": ("epochs=3",)}))
    assert torch.equal(made("dm", output=out, resume=True, **options).images, whole.images)
    assert len(calls) == 1


def test_a_request_that_cannot_be_carried_out_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = counted(monkeypatch)

    def refuse(*arguments: Any) -> None:
        raise BadRequest("not on this network")

    monkeypatch.setattr("attar.objectives.GradientMatching.check", refuse)
    with pytest.raises(BadRequest, match="not on this network"):
        made("dc", init="herding", iterations=1)
    out = tmp_path / "set.safetensors"
    out.write_bytes(b"")
    with pytest.raises(BadRequest, match="already there"):
        made("herding", output=out)
    assert not calls


def test_an_interruption_while_choosing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        made("herding", output=tmp_path / "set.safetensors", callback=Interrupting(None))
    assert list(tmp_path.iterdir()) == []


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["methods", "--json"]) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)["methods"]}
    assert all(listed[name]["paper"] for name in STUDYING)
    out = tmp_path / "set.safetensors"
    words = ["condense", "digits", "--classes", "0,1", "--per-class", "30", "--ipc", "2"]
    words += ["--network", NETWORK, "-o", str(out), "--json", "--method", "herding"]
    page = tmp_path / "page.html"
    assert run([*words, "--set", "epochs=1", "--report", str(page)]) == 0
    assert "chosen by herding" in page.read_text(encoding="utf-8")
    said = capsys.readouterr()
    assert json.loads(said.out)["sizes"]["paper_bytes"] == 2 * 2 * 64 * 4
    assert "chosen by Herding(epochs=1, lr_selection=0.01, batch_selection=256)" in said.err
    assert "--method herding" in attar.load(out).header.provenance["command"]
    assert run([*words, "--overwrite", "--set", "epochs=none"]) == 2
    assert "--set epochs=none: a whole number is needed" in capsys.readouterr().err
    assert run([*words, "--overwrite", "--iterations", "3"]) == 2
    assert "never updates them" in capsys.readouterr().err
