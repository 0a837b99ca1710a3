"""The evaluation cards: what each fixes, and how networks are then trained."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from attar.artefact.artefact import Artefact
from attar.artefact.header import Header
from attar.augmentation.variants import FREPO_OPERATIONS, IDC_OPERATIONS, augmented, read_strategy
from attar.data import Preprocessing
from attar.errors import BadRequest
from attar.evaluation.describing import facts, fixed
from attar.kernels import KINDS
from attar.networks import build
from attar.rng import Key
from attar.synthetic import Layout, Pixels, Synthetic
from attar.training import CARDS, EvaluationCard, Trainer, card
from attar.training.cards import MOST
from attar.training.evaluation_card import renamed
from attar.training.fitting import fitted
from attar.training.losses import loss, summed, targets
from attar.training.mixing import cutmix
from attar.training.schedules import steps
from catalogue import COMPUTE
from references import card_augmentation, convnet

NAME = "convnet2:width=8"
# without a norm, before which a bias has no slope but rounding, that Adam would make large
BARE = "convnet2:width=8,norm=none"
DSA = "color_crop_cutout_flip_scale_rotate"


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# what each card fixes: epochs, batch, optimiser, rate, momentum, decay, schedule, loss, mixing


# students of a teacher
KL = ("rded", "sre2l", "rethinkdc")
FIXED = ("epochs", "batch", "optimiser", "lr", "weight_decay", "schedule", "loss", "mixing")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("dc-300", (300, 256, "sgd", 0.01, 5e-4, "drop", "cross_entropy", "none")),
        ("cafe-600", (600, 256, "sgd", 0.01, 5e-4, "drop", "cross_entropy", "none")),
        ("dc-1000", (1000, 256, "sgd", 0.01, 5e-4, "drop", "cross_entropy", "none")),
        ("plain-1000", (1000, 256, "sgd", 0.01, 5e-4, "drop", "cross_entropy", "none")),
        ("dsa-1000", (1000, 256, "sgd", 0.01, 5e-4, "drop", "cross_entropy", "none")),
        ("lodm-tiny-5000", (5000, 256, "sgd", 0.01, 5e-4, "drop", "cross_entropy", "none")),
        ("mtt", (1000, 256, "sgd", 0.01, 5e-4, "drop", "cross_entropy", "none")),
        ("idc", (1000, 64, "sgd", 0.01, 5e-4, "steps", "cross_entropy", "cutmix")),
        ("haba", (1000, 256, "sgd", 0.01, 5e-4, "drop", "cross_entropy", "none")),
        ("rtp", (300, 640, "sgd", 0.01, 0.0, "constant", "cross_entropy", "none")),
        ("dd", (3, 256, "sgd", 0.02, 0.0, "constant", "cross_entropy", "none")),
        ("ld", (0, 50, "adam", 1e-3, 0.0, "constant", "cross_entropy", "none")),
        ("frepo", (0, 500, "adam", 3e-4, 0.0, "warm_cosine", "squared", "none")),
        ("kip", (0, 100, "sgd", 1.0, 0.01, "cosine", "squared", "none")),
        ("kd", (300, 256, "sgd", 0.3, 5e-4, "warm_cosine", "kl", "none")),
        ("rded", (300, 50, "adamw", 1e-3, 0.01, "half_cosine", "kl", "cutmix")),
        ("sre2l", (300, 1024, "adamw", 1e-3, 0.01, "cosine", "kl", "cutmix")),
        ("rethinkdc", (300, 128, "adamw", 1e-3, 0.01, "cosine", "kl", "cutmix")),
        ("ntk", (0, MOST, "sgd", 0.01, 5e-4, "constant", "squared", "none")),
        ("nngp", (0, MOST, "sgd", 0.01, 5e-4, "constant", "squared", "none")),
    ],
)
def test_cards_have_the_constants_of_their_authors(name: str, values: tuple[object, ...]) -> None:
    one = CARDS[name]
    assert tuple(getattr(one, field) for field in FIXED) == values
    assert one.name == name and (one.momentum == 0.9 or name in ("dd", "ld", "frepo", *KL))
    assert one.learnt_lr == (name in ("mtt", "haba"))
    assert one.one_more == (
        name not in ("idc", "rtp", "dd", "ld", "frepo", "kip", "kd", *KL, *KINDS)
    )
    assert one.learnt_steps == (name == "dd")
    assert one.stable == (name == "kip") and one.kernel == (name if name in KINDS else "")
    assert bool(one.networks) == (name == "frepo")


def test_every_card_is_tested_above() -> None:
    mark = test_cards_have_the_constants_of_their_authors.pytestmark[0]  # pyright: ignore[reportFunctionMemberAccess]
    assert [case[0] for case in mark.args[1]] == list(CARDS)


@pytest.mark.parametrize(
    ("name", "dataset", "strategy"),
    [
        ("dsa-1000", "cifar10", DSA),
        ("dsa-1000", "fashion_mnist", DSA),
        ("mtt", "zoo", DSA),
        ("haba", "zoo", DSA),
        ("lodm-tiny-5000", "zoo", DSA),
        ("dsa-1000", "mnist", "color_crop_cutout_scale_rotate"),
        ("dsa-1000", "svhn", "color_crop_cutout_scale_rotate"),
        ("dsa-1000", "digits", "color_crop_cutout_scale_rotate"),
        ("dc-300", "mnist", "dc:crop_scale_rotate"),
        ("dc-300", "digits", "dc:crop_scale_rotate"),
        ("dc-300", "cifar10", "none"),
        ("dc-300", "svhn", "none"),
        ("rtp", "cifar10", "none"),
        ("plain-1000", "mnist", "none"),
        ("idc", "cifar10", "idc:color_crop_flip_scale_rotate"),
        ("idc", "svhn", "idc:color_crop_scale_rotate"),
        ("frepo", "cifar10", "frepo:flip_color_crop_rotate_translate_cutout"),
        ("frepo", "mnist", "frepo:color_crop_rotate_translate_cutout"),
    ],
)
def test_augmentation_of_each_card(name: str, dataset: str, strategy: str) -> None:
    assert card(name).strategy(dataset) == strategy


def test_only_flips_leaves_nothing_for_digits() -> None:
    flips = dataclasses.replace(CARDS["dsa-1000"], augment="flip")
    assert flips.strategy("digits") == "none" and flips.strategy("zoo") == "flip"


@pytest.mark.parametrize(
    ("network", "strategy"),
    [
        ("convnet3:norm=batch", "dc:crop_noise"),
        ("convnet3:width=8,norm=batch", "dc:crop_noise"),
        ("convnet3", "none"),
        ("resnet18:norm=batch", "none"),
    ],
)
def test_dc_augments_for_the_convnet_with_batch_normalization(network: str, strategy: str) -> None:
    assert card("dc-300").strategy("cifar10", network) == strategy


@pytest.mark.parametrize(
    ("dataset", "tiled", "per_class", "mixing", "strategy"),
    [
        ("cifar10", True, 40, "cutmix", "idc:color_crop_flip_scale_rotate"),
        ("cifar10", False, 1, "cutmix", "idc:color_crop_flip_scale_rotate"),
        ("mnist", True, 4, "none", "idc:color_crop_scale_rotate"),
        ("mnist", False, 1, "cutmix", "idc:color_crop_scale_rotate"),
        ("svhn", False, 1, "none", "idc:color_crop_cutout_scale_rotate"),
        ("svhn", True, 4, "cutmix", "idc:color_crop_scale_rotate"),
        ("svhn", False, 10, "cutmix", "idc:color_crop_scale_rotate"),
    ],
)
def test_exceptions_of_idc(
    dataset: str, tiled: bool, per_class: int, mixing: str, strategy: str
) -> None:
    found = card("idc").fitted(dataset, tiled=tiled, per_class=per_class)
    assert (found.mixing, found.strategy(dataset)) == (mixing, strategy)


def test_frepo_does_not_mirror_clothes() -> None:
    found = card("frepo").fitted("fashion_mnist")
    assert found.strategy("fashion_mnist") == "frepo:color_crop_rotate_translate_cutout"


# names


def test_another_number_of_epochs_shows_in_the_name() -> None:
    assert card("dc-300") is CARDS["dc-300"] and card("dc-300", 300) is CARDS["dc-300"]
    brief = card("dc-300", 7)
    assert (brief.epochs, brief.name) == (7, "dc-300 (epochs 7)")
    assert dataclasses.replace(brief, epochs=300, name="dc-300") == CARDS["dc-300"]
    assert brief.with_lr(0.2).with_epochs(9).name == "dc-300 (lr 0.2, epochs 9)"
    assert renamed("dc-300 (lr 0.2, epochs 9)", "tuned") == "dc-300 (lr 0.2, epochs 9, tuned)"
    for name in ("dc-300", "frepo"):
        with pytest.raises(BadRequest, match="--epochs 0"):
            card(name, 0)
    with pytest.raises(BadRequest, match="learning rate -1"):
        brief.with_lr(-1.0)


def test_an_unknown_card_lists_all_with_near_names() -> None:
    with pytest.raises(BadRequest, match="did you mean 'dc-300'") as refusal:
        card("dc-30")
    assert all(name in str(refusal.value) for name in CARDS)


def test_what_a_card_fixes_is_one_line() -> None:
    for one in CARDS.values():
        assert "\n" not in fixed(one) and len(one.summary) < 100
        names = dict(facts(one, "cifar10")).keys()
        trained = {"Epochs", "Optimiser", "Weight decay", "Loss", "Augmentation"}
        assert ({"Predictor", "Ridge", "Loss"} if one.kernel else trained) <= names
    assert fixed(card("idc")) == (
        "IDC: 1000 epochs, batch 64, SGD 0.01 ÷5 twice, idc augmentation, CutMix"
    )
    assert fixed(card("dd")) == "DD: the learnt steps, each at its learnt size, no augmentation"
    assert fixed(card("frepo")) == (
        "FRePo: 1000 to 40000 updates, batch 500, Adam 0.0003 warmed up, then cosine, no weight "
        "decay, frepo augmentation, squared error, own network"
    )
    assert "learnt rate or 0.01 ÷10 halfway, dsa" in fixed(card("mtt"))
    assert ("Mixing", "CutMix in 50% of batches") in facts(card("idc"), "cifar10")


# schedules against lists by hand


def batches(one: EvaluationCard, count: int) -> list[Tensor]:
    """Return the rows that each update of a training takes, from the training itself."""
    found: list[Tensor] = []
    Trainer(build(BARE, 1, (8, 8), 3), COMPUTE).fit_together(
        torch.zeros(count, 1, 8, 8),
        torch.arange(count) % 3,
        one,
        "none",
        [Key(7)],
        updated=lambda update: found.append(update.rows),
    )
    return found


def rates(name: str, epochs: int, count: int = 10) -> list[float]:
    return [step.lr for step in steps(card(name, epochs), count)]


def test_dc_lineage_drops_to_a_tenth_and_restarts() -> None:
    found = list(steps(card("dsa-1000", 6), 300))
    # two batches of 256 an epoch, 7 epochs, the drop after epoch 4
    assert [(s.epoch, s.start) for s in found] == [(e, b) for e in range(7) for b in (0, 256)]
    assert [s.lr for s in found] == [0.01] * 10 + [0.001] * 4
    assert [s.restart for s in found] == [False] * 10 + [True] + [False] * 3


def test_idc_drops_to_a_fifth_twice_and_goes_on() -> None:
    found = list(steps(card("idc", 12), 10))
    assert [round(s.lr, 9) for s in found] == [0.01] * 8 + [0.002] * 2 + [0.0004] * 2
    assert not any(s.restart for s in found)
    full = list(steps(card("idc"), 64))
    assert [round(full[i].lr, 9) for i in (0, 665, 666, 832, 833, 999)] == [
        *(0.01, 0.01, 0.002, 0.002, 0.0004, 0.0004)
    ]
    assert len(full) == 1000


def test_rtp_is_constant_without_one_more_epoch() -> None:
    assert rates("rtp", 5) == [0.01] * 5
    assert len(list(steps(card("rtp"), 641))) == 600


def test_frepo_warms_up_and_falls_to_a_hundredth() -> None:
    found = [step.lr for step in steps(card("frepo"), 100)]
    assert len(found) == 2000
    assert found[0] == 0 and found[250] == pytest.approx(1.5e-4) and found[500] == 3e-4
    middle = 3e-4 * (0.01 + 0.99 / 2)
    assert found[1250] == pytest.approx(middle)
    expected = 3e-4 * (0.01 + 0.99 * (1 + math.cos(math.pi * 1499 / 1500)) / 2)
    assert found[-1] == pytest.approx(expected) and expected < 3.01e-6


def test_a_short_warm_up_is_half_of_the_updates() -> None:
    assert [round(rate / 3e-4, 4) for rate in rates("frepo", 4)] == [0, 0.5, 1, 0.505]


@pytest.mark.parametrize(
    ("count", "updates"),
    [
        *((1, 1000), (10, 1000), (99, 1000), (100, 2000), (199, 2000), (200, 20_000)),
        *((399, 20_000), (400, 5000), (500, 5000), (1000, 10_000), (1999, 10_000)),
        *((2000, 40_000), (5000, 40_000), (50_000, 40_000)),
    ],
)
def test_frepo_takes_updates_by_the_number_of_images(count: int, updates: int) -> None:
    one = card("frepo")
    assert one.steps(count) == updates
    assert one.passes(count) == pytest.approx(updates * min(500, count) / count)


def test_updates_are_said_as_epochs_where_a_training_is_shortened() -> None:
    assert card("dsa-1000").epochs_for(100) == 1000
    assert card("frepo").epochs_for(100) == 2000 and card("frepo").epochs_for(1500) == 3334
    brief = card("frepo").with_epochs(25)
    assert (brief.name, brief.steps(100), brief.steps(1200)) == ("frepo (epochs 25)", 25, 75)


def test_batches_that_run_on_have_one_size_and_miss_no_image() -> None:
    one = dataclasses.replace(card("frepo"), batch=4, updates=((1, 5),))
    found = list(steps(one, 10))
    assert [(s.epoch, s.start) for s in found] == [(0, 0), (0, 4), (0, 8), (1, 2), (1, 6)]
    rows = batches(one, 10)
    assert [len(own) for own in rows] == [4] * 5
    assert torch.equal(torch.cat(rows).bincount(), torch.full((10,), 2))
    plain = batches(dataclasses.replace(one, updates=(), epochs=1), 10)
    assert torch.equal(rows[0], plain[0]) and len(plain[2]) == 2


@pytest.mark.parametrize(("count", "sizes"), [(25, [7, 6, 6, 6]), (24, [8, 8, 8]), (3, [3])])
def test_even_batches_have_one_size_or_all_but_one_image(count: int, sizes: list[int]) -> None:
    one = EvaluationCard("even", "", 2, "none", batch=8, one_more=False, even=True)
    found = batches(one, count)
    assert [len(rows) for rows in found] == sizes * 2
    assert sorted(torch.cat(found[: len(sizes)]).tolist()) == list(range(count))
    # a card that is on record says nothing of it
    assert "even" not in card("dsa-1000").describe() and one.describe()["even"]


# losses and targets


def test_squared_error_is_half_the_sum_over_classes() -> None:
    scores, truth = torch.tensor([[1.0, 2.0], [0.0, -1.0]]), torch.tensor([[0.5, 0.0], [0.0, 1.0]])
    assert float(loss(scores, truth, "squared")) == pytest.approx((0.125 + 2 + 2) / 2)


def test_hard_labels_are_centred_for_squared_error() -> None:
    labels = torch.tensor([2, 0])
    expected = torch.tensor([[-0.25, -0.25, 0.75, -0.25], [0.75, -0.25, -0.25, -0.25]])
    assert torch.equal(targets(labels, 4, card("frepo")), expected)
    assert torch.equal(targets(labels, 3, card("idc")), torch.eye(3)[labels])
    assert targets(labels, 3, card("dsa-1000")) is labels
    soft = numbers(2, 4)
    for name in ("frepo", "idc", "dsa-1000"):
        assert targets(soft, 4, card(name)) is soft


@pytest.mark.parametrize("kind", ["cross_entropy", "squared"])
def test_several_networks_do_not_affect_each_other(kind: str) -> None:
    scores, truth = numbers(3, 5, 4), numbers(3, 5, 4, seed=1).softmax(-1)
    expected = sum(float(loss(s, t, kind)) for s, t in zip(scores, truth, strict=True))
    assert float(summed(scores, truth, kind)) == pytest.approx(expected)


# CutMix


def test_cutmix_pastes_one_box_and_mixes_by_its_area() -> None:
    shares = set()
    for seed in range(40):
        images = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 2, 8, 10)
        truth = torch.eye(6)
        mixed, labels = cutmix(images, truth, 1.0, Key(seed))
        own = mixed == images
        # the same box in every image and channel
        shown = own.all(dim=1)
        other = (~shown).flatten(1).any(dim=1)
        for row in range(6):
            kept = own[row].float().mean()
            if other[row]:
                assert float(labels[row, row]) == pytest.approx(float(kept))
                strange = mixed[row][~own[row]].unique()
                assert len(strange) == 1
                assert float(labels[row, int(strange)]) == pytest.approx(1 - float(kept))
                lines = (~own[row, 0]).nonzero()
                box = lines.max(0).values - lines.min(0).values + 1
                assert int(box.prod()) == len(lines)
        torch.testing.assert_close(labels.sum(1), torch.ones(6))
        shares.add(round(float(own[other].float().mean()), 3) if other.any() else 1.0)
    assert len(shares) > 12 and min(shares) < 0.5 and max(shares) > 0.8


def test_cutmix_leaves_half_of_the_batches() -> None:
    images, truth = numbers(4, 1, 8, 8), torch.eye(4)
    left = sum(cutmix(images, truth, 0.5, Key(seed))[1] is truth for seed in range(400))
    assert 160 < left < 240
    assert cutmix(images, truth, 0.0, Key(0))[0] is images


# augmentation of IDC and FRePo


@pytest.mark.parametrize("shape", [(3, 3, 8, 8), (2, 1, 7, 9)], ids=str)
@pytest.mark.parametrize(("way", "name"), [("idc", n) for n in card_augmentation.IDC])
def test_operations_of_idc_equal_the_reference(way: str, name: str, shape: tuple[int, ...]) -> None:
    check_operation(IDC_OPERATIONS[name], card_augmentation.IDC[name], shape)


@pytest.mark.parametrize("shape", [(3, 3, 8, 8), (2, 1, 7, 9)], ids=str)
@pytest.mark.parametrize("name", FREPO_OPERATIONS)
def test_operations_of_frepo_equal_the_reference(name: str, shape: tuple[int, ...]) -> None:
    check_operation(FREPO_OPERATIONS[name], card_augmentation.FREPO[name], shape)


def check_operation(operation, reference, shape: tuple[int, ...]) -> None:
    for seed in range(3):
        images = numbers(*shape, seed=seed)
        draws = torch.rand(shape[0], 3, generator=torch.Generator().manual_seed(seed))
        found = operation(images, draws)
        assert found.dtype == torch.float32 and found.shape == images.shape
        for image, draw, own in zip(images.double(), draws.tolist(), found, strict=True):
            wanted = reference(image, draw)
            torch.testing.assert_close(own.double(), wanted, rtol=1e-4, atol=3e-5)


def applied(monkeypatch: pytest.MonkeyPatch, table: dict, strategy: str, times: int) -> list:
    noted: list[list[str]] = []
    for name in list(table):

        def note(images: Tensor, draws: Tensor, name: str = name) -> Tensor:
            assert draws.shape == (len(images), 3) and len(draws.unique(dim=0)) == len(draws)
            noted[-1].append(name)
            return images

        monkeypatch.setitem(table, name, note)
    for seed in range(times):
        noted.append([])
        augmented(numbers(3, 1, 8, 8), strategy, Key(seed))
    return noted


def test_idc_flips_and_colours_always_and_draws_one_of_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = applied(monkeypatch, IDC_OPERATIONS, card("idc").augment, 90)
    assert all(names[:2] == ["flip", "color"] and len(names) == 3 for names in found)
    drawn = [names[2] for names in found]
    assert all(15 < drawn.count(name) < 45 for name in ("crop", "scale", "rotate"))


def test_idc_cuts_out_last_where_it_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = applied(monkeypatch, IDC_OPERATIONS, "idc:color_crop_cutout_scale_rotate", 5)
    assert all(names[0] == "color" and names[-1] == "cutout" for names in found)


def test_frepo_draws_one_operation_for_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    found = applied(monkeypatch, FREPO_OPERATIONS, card("frepo").augment, 240)
    drawn = [name for (name,) in found]
    assert all(15 < drawn.count(name) < 75 for name in FREPO_OPERATIONS)


def test_dc_noise_is_a_thousandth_and_other_images_are_shifted() -> None:
    images = numbers(200, 3, 8, 8)
    found = augmented(images, "dc:crop_noise", Key(0))
    change = (found - images).flatten(1).std(dim=1)
    noisy = change < 0.01
    assert 60 < int(noisy.sum()) < 140
    assert float((found - images)[noisy & (change > 1e-5)].std()) == pytest.approx(1e-3, rel=0.1)


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ("idx:color", "did you mean 'idc'"),
        ("frepo:colour", "did you mean 'color'"),
        ("dc:flip", "There is: crop, noise, rotate, scale"),
        ("idc:crop_crop", "stands twice"),
    ],
)
def test_a_strategy_that_cannot_be_read_is_refused(strategy: str, said: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        read_strategy(strategy)
    assert said in str(refusal.value)


# training under a card, beside a literal loop in float64


def trained(recipe: EvaluationCard, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    trainer = Trainer(build(BARE, 1, (8, 8), 3), COMPUTE)
    (found,) = trainer.fit(images, labels, recipe, "none", [Key(7)])
    return found


def start() -> dict[str, Tensor]:
    module = build(BARE, 1, (8, 8), 3).draw(Key(7).fold("network"))
    return {name: tensor.detach().double() for name, tensor in module.named_parameters()}


def slopes(now: dict[str, Tensor], images: Tensor, objective) -> dict[str, Tensor]:
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in now.items()}
    value = objective(convnet.scores(leaves, images.double(), norm="none"))
    return dict(zip(leaves, torch.autograd.grad(value, list(leaves.values())), strict=True))


def assert_weights(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[f"module.{name}"].double(), tensor, rtol=1e-4, atol=1e-5)


def test_frepo_is_adam_on_squared_error() -> None:
    images, labels = numbers(7, 1, 8, 8), torch.arange(7) % 3
    recipe = dataclasses.replace(card("frepo"), batch=4, updates=((1, 6),), lr=0.01)
    now, first, second = start(), {}, {}
    truth = torch.eye(3, dtype=torch.float64)[labels] - 1 / 3
    shares = [0, 1 / 3, 2 / 3, 1.0, 0.01 + 0.99 * 0.75, 0.01 + 0.99 * 0.25]
    for t, (rows, share) in enumerate(zip(batches(recipe, 7), shares, strict=True), start=1):
        found = slopes(
            now, images[rows], lambda s, rows=rows: ((s - truth[rows]) ** 2).sum() / 2 / len(rows)
        )
        for name, slope in found.items():
            first[name] = 0.9 * first.get(name, 0) + 0.1 * slope
            second[name] = 0.999 * second.get(name, 0) + 0.001 * slope**2
            step = (first[name] / (1 - 0.9**t)) / ((second[name] / (1 - 0.999**t)).sqrt() + 1e-8)
            now[name] = now[name] - 0.01 * share * step
    assert_weights(trained(recipe, images, labels), now)


def test_idc_keeps_its_momentum_through_the_drops_and_mixes() -> None:
    images, labels = numbers(6, 1, 8, 8), torch.arange(6) % 3
    recipe = dataclasses.replace(card("idc", 6), batch=6, lr=0.1)
    now, velocity = start(), {}
    chosen = list(steps(recipe, 6))
    assert [round(step.lr, 9) for step in chosen] == [0.1] * 4 + [0.02, 0.004]
    mixed = 0
    for step, rows in zip(chosen, batches(recipe, 6), strict=True):
        key = Key(7).fold("mix", step.epoch, step.start)
        batch, truth = cutmix(images[rows], torch.eye(3)[labels[rows]], 0.5, key)
        mixed += batch is not images[rows] and bool((truth != torch.eye(3)[labels[rows]]).any())

        def objective(scores: Tensor, truth: Tensor = truth) -> Tensor:
            return -(truth * scores.log_softmax(1)).sum() / len(truth)

        for name, slope in slopes(now, batch, objective).items():
            slope = slope + 5e-4 * now[name]
            velocity[name] = 0.9 * velocity[name] + slope if name in velocity else slope
            now[name] = now[name] - step.lr * velocity[name]
    assert mixed > 0
    assert_weights(trained(recipe, images, labels), now)


@pytest.mark.parametrize("name", ["idc", "frepo", "rtp"])
def test_several_at_once_train_as_one_by_one(name: str) -> None:
    images, labels = numbers(10, 1, 8, 8), torch.arange(10) % 3
    recipe = card(name, 3)
    strategy = recipe.strategy("zoo")
    keys = [Key(1), Key(2)]
    network = build(BARE, 1, (8, 8), 3)
    alone = Trainer(network, COMPUTE).fit(images, labels, recipe, strategy, keys)
    both = Trainer(network, COMPUTE, 2).fit(images, labels, recipe, strategy, keys)
    for one, other in zip(alone, both, strict=True):
        for tensor in one:
            torch.testing.assert_close(other[tensor], one[tensor], rtol=1e-3, atol=1e-4)


def test_frepo_trains_its_own_network_by_the_size_of_images() -> None:
    one = card("frepo")
    sizes = {28: 3, 32: 3, 63: 3, 64: 4, 96: 4, 128: 5, 224: 5}
    assert {size: one.network_for((size, size)) for size in sizes} == {
        size: f"frepo{depth}:norm=none" for size, depth in sizes.items()
    }
    assert card("dsa-1000").network_for((32, 32)) is None


# a card on an artefact


def artefact(**provenance: object) -> Artefact:
    layout = Layout(3, 2, (1, 8, 8))
    header = Header(
        class_names=["a", "b", "c"],
        shape=(1, 8, 8),
        images_per_class=2,
        parametrization=Pixels().describe(),
        mean=[0.5],
        std=[0.5],
        provenance=provenance,
    )
    return Artefact(header, Synthetic(layout, Pixels()), Preprocessing((0.5,), (0.5,)))


def test_mtt_trains_at_the_learnt_rate_where_there_is_one() -> None:
    for name in ("mtt", "haba"):
        found = fitted(card(name), artefact(learned_lr=0.0215), "cifar10")
        assert (found.lr, found.name) == (0.0215, f"{name} (lr 0.0215)")
        assert fitted(card(name), artefact(), "cifar10") is CARDS[name]
    assert fitted(card("dsa-1000"), artefact(learned_lr=0.0215), "cifar10").lr == 0.01
    with pytest.raises(BadRequest, match="learning rate 0"):
        fitted(card("mtt"), artefact(learned_lr=0.0), "cifar10")


def test_tiles_are_seen_in_the_parametrization_or_the_provenance() -> None:
    assert fitted(card("idc"), artefact(factor=2), "mnist").mixing == "none"
    assert fitted(card("idc"), artefact(), "mnist").mixing == "cutmix"


def test_cross_entropy_is_refused_for_centred_labels() -> None:
    made = artefact()
    layout = made.header.layout
    synthetic = Synthetic(layout, Pixels(), learned_labels=True)
    state = synthetic.state_dict()
    (name,) = [name for name, tensor in state.items() if tensor.shape == (6, 3)]
    labels = state[name].clone()

    def with_labels(values: Tensor) -> Artefact:
        synthetic.load_state_dict({**state, name: values})
        header = made.header.model_copy(update={"learned_labels": True})
        return Artefact(header, synthetic.requires_grad_(False), made.preprocessing)

    assert fitted(card("dsa-1000"), with_labels(labels), "cifar10") is CARDS["dsa-1000"]
    with pytest.raises(BadRequest, match=r"dsa-1000 .*no probabilities.*--card frepo"):
        fitted(card("dsa-1000"), with_labels(labels - 1 / 3), "cifar10")
    assert fitted(card("frepo"), with_labels(labels - 1 / 3), "cifar10") is CARDS["frepo"]


def test_classes_have_a_learning_rate_of_their_own_under_kd() -> None:
    hard = CARDS["kd"].hard()
    assert (hard.lr, hard.loss, hard.temperature) == (0.02, "cross_entropy", 1.0)
    # gradients at a temperature of 4 are sixteen times smaller
    assert CARDS["kd"].lr / hard.lr == pytest.approx(16, rel=0.1)
    assert CARDS["rded"].hard().lr == CARDS["rded"].lr
    assert "hard_lr" not in CARDS["rded"].describe()
