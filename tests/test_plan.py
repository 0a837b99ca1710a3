import dataclasses
import json
from typing import Any

import pytest
import torch

from attar.artefact.fingerprint import fingerprint
from attar.budget import Ledger
from attar.condensing.overrides import settle, with_settings
from attar.condensing.plan import Plan
from attar.condensing.planning import make_plan
from attar.condensing.request import Request
from attar.data import LabelledImages, Preprocessing, Splits, fit_whitening
from attar.errors import BadRequest
from attar.methods import METHODS, Task, low_rank
from attar.objectives import DistributionMatching
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.synthetic import LowRank, OrderedSVD, Pixels

SHAPE = (1, 8, 8)
TASK = Task("zoo", 1, SHAPE, 3)
FULL = 3 * 64 * 4  # bytes of one image for each of three classes


def data(counts: tuple[int, ...] = (30, 20, 25), zca: str = "none", seed: int = 0) -> Splits:
    """Three classes of 8×8 images; no two images are the same."""
    labels = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (len(labels), *SHAPE), generator=generator).to(torch.uint8)
    whitening = None if zca == "none" else fit_whitening(zca, images)
    preprocessing = Preprocessing((0.5,), (0.25,), whitening)
    names = tuple("abcdefg"[: len(counts)])
    train = LabelledImages(images, labels, names, preprocessing, "zoo")
    return Splits(train, dataclasses.replace(train, name="zoo test"), source="npz:zoo.npz")


def plan(splits: Splits | None = None, **options: Any) -> Plan:
    quick = {"method": "lodm", "device": "cpu", "torch_compile": "off", "precision": "float32"}
    return make_plan(Request(**(quick | options)), splits or data())


def refused(splits: Splits | None = None, **options: Any) -> str:
    with pytest.raises(BadRequest) as caught:
        plan(splits, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        # 64 values of 8×8 pixels hold 64 // (2·16) images of rank 2
        ({"ipc": 1}, 2),
        ({"ipc": 3}, 6),
        ({"ipc": 1, "rank": 1}, 4),
        ({"ipc": 2, "rank": 3}, 2),
        ({"ipc": 1, "storage": "float16"}, 4),
        ({"ipc": 1, "method": "dm"}, 1),
        ({"ipc": 1, "method": "dm", "storage": "bfloat16"}, 2),
        ({"max_bytes": FULL - 1}, 1),
        ({"max_bytes": FULL}, 2),
        ({"max_bytes": "3kB"}, 3000 // (FULL // 2)),
        ({"synthetic_per_class": 5}, 5),
    ],
)
def test_images_per_class(options: dict[str, Any], count: int) -> None:
    made = plan(**options)
    assert made.layout.per_class == count
    assert (made.layout.classes, made.layout.shape) == (3, SHAPE)
    per_image = {"dm": 64}.get(made.request.method, (options.get("rank") or 2) * 16)
    size = 4 if made.request.storage is None else 2
    assert made.ledger.paper == 3 * count * per_image * size
    if made.limit is not None:
        assert made.ledger.paper <= made.limit


def test_limits() -> None:
    assert plan(ipc=2).limit == 2 * FULL
    assert plan(max_bytes="3kB").limit == 3000
    assert plan(synthetic_per_class=2).limit is None


def test_whitening_counts_where_all_is_counted() -> None:
    splits = data(zca="mtt")
    whitening = 64 * 4 + 64 * 65 // 2 * 4 + 8
    enough = whitening + 2 * FULL // 2
    assert plan(splits, max_bytes=enough).layout.per_class == 2
    assert plan(splits, max_bytes=enough).ledger.all == enough
    assert plan(splits, max_bytes=enough - 1).layout.per_class == 1
    assert plan(splits, max_bytes=enough, count="paper").layout.per_class == enough // (FULL // 2)
    text = refused(splits, max_bytes=whitening)
    assert f"holds no image per class; one takes {whitening + FULL // 2} bytes" in text
    assert f"{whitening} of them for the whitening (--count paper" in text
    assert "whitening" not in refused(splits, max_bytes=8, count="paper")


def test_the_plan_costs_what_the_set_does() -> None:
    made = plan(data(zca="mtt"), ipc=2)
    synthetic = made.run().synthetic
    actual: Ledger = synthetic.ledger("float32")
    assert made.ledger.paper == actual.paper
    assert made.ledger.all == actual.all + 64 * 4 + 64 * 65 // 2 * 4 + 8


@pytest.mark.parametrize(
    ("options", "ipc"),
    [
        ({}, 1),
        ({"ipc": 7}, 7),
        ({"max_bytes": 1}, 1),
        ({"max_bytes": FULL}, 1),
        ({"max_bytes": 2 * FULL - 1}, 1),
        ({"max_bytes": 2 * FULL}, 2),
        ({"max_bytes": 12 * FULL + 5}, 12),
        # nine images of rank 2 take the memory of four and a half
        ({"synthetic_per_class": 9}, 4),
        ({"synthetic_per_class": 1}, 1),
    ],
)
def test_recipes_are_asked_for_the_memory_in_images(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], ipc: int
) -> None:
    asked: list[Task] = []
    lodm = low_rank.lodm

    def note(task: Task) -> Any:
        asked.append(task)
        return lodm(task)

    monkeypatch.setattr(low_rank, "lodm", note)
    if options.get("max_bytes") == 1:
        assert "holds no image per class" in refused(**options)
    else:
        plan(**options)
    assert asked[-1] == Task("zoo", ipc, SHAPE, 3, deviation=0.25)


def test_a_plan_without_wishes_is_the_recipe() -> None:
    made = plan()
    recipe = METHODS["lodm"].recipe(Task("zoo", 1, SHAPE, 3))
    assert made.recipe == recipe
    assert made.source == "npz:zoo.npz"
    assert made.network.name == recipe.network


def test_wishes_replace_what_they_name_and_nothing_else() -> None:
    recipe = METHODS["lodm"].recipe(Task("zoo", 1, SHAPE, 3))
    changed = settle(
        recipe,
        Request(
            rank=3,
            init="real",
            iterations=7,
            lr=0.5,
            network="convnet2",
            card="dc-300",
            settings=("batch_real=64", "augment=none"),
        ),
        TASK,
    )
    assert changed.parametrization == LowRank(3)
    assert changed.optimisers == {"images": Optimiser(0.5, momentum=0.5)}
    assert changed.objective == DistributionMatching(batch_real=64, augment="none")
    assert (changed.init, changed.iterations) == ("real", 7)
    assert (changed.network, changed.card) == ("convnet2", "dc-300")
    assert settle(recipe, Request(), TASK) == recipe


def test_labels_that_are_updated_as_the_images_follow_their_wishes() -> None:
    recipe = METHODS["frepo"].recipe(Task("zoo", 1, SHAPE, 3))
    wishes = Request(method="frepo", lr=2.0, optimiser="adam", schedule="constant")
    wanted = Optimiser(2.0, kind="adam", floor=0.1)
    assert settle(recipe, wishes, TASK).optimisers == {"images": wanted, "labels": wanted}
    own = Optimiser(0.5)
    apart = dataclasses.replace(recipe, optimisers={**recipe.optimisers, "labels": own})
    assert settle(apart, wishes, TASK).optimisers == {"images": wanted, "labels": own}


def test_zero_iterations_are_a_wish_too() -> None:
    assert plan(iterations=0).recipe.iterations == 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"method": "lodn"},
            "unknown method 'lodn' (did you mean 'lodm' or 'lodc' or 'loidc'?). "
            f"There is: {', '.join(sorted(METHODS))}.",
        ),
        ({"method": "dm", "rank": 9}, "--rank 9: images of 8×8 have ranks 1 to 8"),
        ({"rank": 9}, "--rank 9: images of 8×8 have ranks 1 to 8"),
        ({"rank": 0}, "--rank 0: images of 8×8 have ranks 1 to 8"),
        (
            {"storage": "int7"},
            "unknown value of --storage 'int7' (did you mean ",
        ),
        (
            {"init": "kmeans"},
            "unknown value of --init 'kmeans'. "
            "There is: confident, crops, forgetting, herding, kcenter, noise, real.",
        ),
        (
            {"card": "dsa-100"},
            "unknown card 'dsa-100' (did you mean 'dsa-1000' or 'dc-1000' or 'dc-300'?). "
            "There is: cafe-600, dc-1000, dc-300, dd, dsa-1000, frepo, haba, idc, kd, kip, ld, "
            "lodm-tiny-5000, mtt, nngp, ntk, plain-1000, rded, rethinkdc, rtp, sre2l.",
        ),
        ({"lr": -1.0}, "--lr -1.0: a positive number is needed"),
        ({"lr": float("nan")}, "--lr nan: a positive number is needed"),
        (
            {"momentum": 0.5, "optimiser": "adam"},
            "--momentum 0.5: of SGD alone, and adam would ignore it; leave it out, or take "
            "--optimiser sgd",
        ),
        ({"method": "frepo", "momentum": 0.5}, "--momentum 0.5: of SGD alone, and lamb would"),
        ({"momentum": 1.0}, "--momentum 1.0: from 0 to below 1"),
        ({"network": "convnet4"}, "network convnet4 halves images of 8×8 to nothing; convnet3 is"),
        ({"network": "covnet3"}, "unknown network 'covnet3' (did you mean 'convnet3' or"),
        (
            {"settings": ("batchreal=3",)},
            "unknown setting (--set) of distribution 'batchreal' (did you mean 'batch_real' "
            "or 'batch'?). There is: augment, batch, batch_real, pool, refresh.",
        ),
        ({"settings": ("batch_real=many",)}, "--set batch_real=many: a whole number is needed"),
        ({"settings": ("batch_real=1.5",)}, "--set batch_real=1.5: a whole number is needed"),
        (
            {"settings": ("batch_real=0",)},
            "--set batch_real=0: at least one real image is needed",
        ),
        ({"settings": ("augment=colour",)}, "unknown augmentation 'colour' (did you mean 'color'"),
        ({"device": "tpu"}, "--device 'tpu': auto, cpu, cuda, cuda:N or mps"),
        ({"precision": "float16"}, "unknown value of --precision 'float16' (did you mean"),
        ({"torch_compile": "yes"}, "unknown value of --compile 'yes'. There is: auto, off, on."),
        ({"chunk": 0}, "--chunk 0: at least one image per call is needed"),
        (
            {"max_bytes": 300},
            "a budget of 300 bytes (all count) holds no image per class; one takes 384 bytes. "
            "Raise --ipc or --bytes, or store each in less (--rank, --storage).",
        ),
    ],
)
def test_refusals(options: dict[str, Any], text: str) -> None:
    assert refused(**options).startswith(text)


def test_adam_takes_no_momentum_along() -> None:
    optimisers = plan(method="dm", optimiser="adam").recipe.optimisers
    assert optimisers["images"] == Optimiser(1.0, kind="adam")
    assert plan(method="dm", optimiser="sgd").recipe.optimisers["images"].momentum == 0.5


def test_settings_of_every_kind_are_read_from_text() -> None:
    @dataclasses.dataclass(frozen=True)
    class Odd(DistributionMatching):
        weight: float = 0.5
        pooled: bool = False

    changed = with_settings(Odd(), {"weight": "1e-3", "pooled": "Yes", "batch_real": "3"})
    assert changed == Odd(batch_real=3, weight=1e-3, pooled=True)
    assert with_settings(Odd(pooled=True), {"pooled": "0"}) == Odd()
    for setting, kind in (("pooled", "true or false"), ("weight", "a number")):
        with pytest.raises(BadRequest, match=f"--set {setting}=maybe: {kind} is needed"):
            with_settings(Odd(), {setting: "maybe"})


def test_a_set_larger_than_the_data_is_refused() -> None:
    # 68 of 75 images are left when some are held out
    text = refused(method="dm", ipc=23)
    assert text == (
        f"a budget of {23 * FULL} bytes is larger than the 68 training images of zoo themselves "
        f"({68 * 256} bytes as float32); ask for less"
    )
    assert plan(method="dm", ipc=22).layout.per_class == 22
    assert plan(method="dm", ipc=25, validation=0.0).layout.per_class == 25
    assert "larger than the 75 training images" in refused(method="dm", ipc=26, validation=0.0)


def test_more_images_than_the_data_are_refused() -> None:
    assert refused(synthetic_per_class=23) == (
        "--images-per-class 23: 69 images are more than the 68 training images of zoo; ask for less"
    )
    assert plan(synthetic_per_class=22).layout.per_class == 22


def test_enormous_budgets_are_refused_like_others() -> None:
    assert "is larger than the 68 training images" in refused(max_bytes="999999999999GB")


@pytest.mark.parametrize(
    ("counts", "held"),
    [
        ((20, 20, 20), 6),
        ((30, 20, 25), 3 + 2 + 2),
        ((400, 19, 400), None),
    ],
)
def test_images_are_held_out_unasked_where_there_are_enough(
    counts: tuple[int, ...], held: int | None
) -> None:
    made = plan(data(counts))
    assert (None if made.held_out is None else len(made.held_out)) == held
    assert len(made.train) == sum(counts) - (held or 0)


def test_held_out_images_are_not_condensed() -> None:
    made = plan(validation=0.5)
    assert made.held_out is not None
    assert [len(own) for own in made.held_out.indices_of_class] == [15, 10, 12]
    seen = {image.numpy().tobytes() for image in made.train.images}
    kept = {image.numpy().tobytes() for image in made.held_out.images}
    assert not seen & kept
    assert len(seen | kept) == 75


def test_what_is_held_out_follows_the_seed() -> None:
    one, same, other = (plan(seed=seed).held_out for seed in (0, 0, 1))
    assert one is not None
    assert same is not None
    assert other is not None
    assert torch.equal(one.images, same.images)
    assert not torch.equal(one.images, other.images)


def test_a_share_is_held_out_even_of_small_classes() -> None:
    made = plan(data((4, 4, 4)), validation=0.1)
    assert made.held_out is not None
    assert len(made.held_out) == 3
    assert "use --validation 0" in refused(data((4, 1, 4)), validation=0.1)


@pytest.mark.parametrize("options", [{"validation": 0.0}, {"method": "random"}])
def test_nothing_is_held_out(options: dict[str, Any]) -> None:
    assert plan(**options).held_out is None
    assert len(plan(**options).train) == 75


def test_random_images_are_measured_on_held_out_ones_where_that_is_asked_for() -> None:
    made = plan(method="random", validation=0.2)
    assert made.held_out is not None
    assert len(made.held_out) == 15


def test_real_starts_are_distinct_real_images_of_their_class() -> None:
    made = plan(method="dm", ipc=4)
    images = made.run().synthetic.images(torch.arange(12)).detach()
    train = made.train
    for row, image in enumerate(images):
        label = row // 4
        inputs = train.take(train.indices_of_class[label])
        assert (inputs == image).flatten(1).all(dim=1).sum() == 1
    assert len(torch.unique(images.flatten(1), dim=0)) == 12
    assert isinstance(made.recipe.parametrization, Pixels)


def test_real_starts_of_a_small_class_are_given_again_in_order() -> None:
    made = plan(data((3, 40, 40)), method="dm", ipc=7)
    images = made.run().synthetic.images(torch.arange(7)).detach()
    assert torch.equal(images[:3], images[3:6])
    assert torch.equal(images[0], images[6])
    assert len(torch.unique(images.flatten(1), dim=0)) == 3


def test_a_start_follows_the_seed_only() -> None:
    def start(**options: Any) -> torch.Tensor:
        return plan(**options).run().synthetic.images(torch.arange(3)).detach()

    for init in ("real", "noise"):
        first = start(init=init, validation=0.0)
        torch.rand(5)
        assert torch.equal(first, start(init=init, validation=0.0, iterations=3))
        assert not torch.equal(first, start(init=init, validation=0.0, seed=1))


def test_identity_is_json_and_repeats() -> None:
    identity = plan(data(zca="mtt"), settings=("batch_real=64",)).identity
    assert json.loads(json.dumps(identity, allow_nan=False)) == identity
    assert plan(data(zca="mtt"), settings=("batch_real=64",)).identity == identity
    assert identity["objective"]["name"] == "distribution"
    assert identity["objective"]["batch_real"] == 64


@pytest.mark.parametrize(
    "options",
    [
        {"seed": 1},
        {"method": "dm"},
        {"rank": 1},
        {"ipc": 2},
        {"init": "real"},
        {"lr": 0.5},
        {"network": "convnet2"},
        {"network": "convnet3:width=64"},
        {"validation": 0.2},
        {"settings": ("batch_real=64",)},
        {"settings": ("augment=none",)},
        {"chunk": 7},
        {"precision": "bfloat16"},
        {"card": "dc-300"},
        {"validations": 2},
    ],
    ids=str,
)
def test_what_changes_the_steps_changes_the_identity(options: dict[str, Any]) -> None:
    assert plan(**options).identity != plan().identity


@pytest.mark.parametrize(
    "options", [{"iterations": 3}, {"minutes": 1.0}, {"checkpoint_seconds": 1.0}], ids=str
)
def test_how_long_a_run_takes_does_not(options: dict[str, Any]) -> None:
    assert plan(**options).identity == plan().identity


def test_fingerprints_see_one_pixel_one_label_and_the_constants() -> None:
    train = data().train
    first = fingerprint(train)
    assert fingerprint(data().train) == first
    images, labels = train.images.clone(), train.labels.clone()
    images[41, 0, 7, 7] ^= 1
    labels[2] = 1
    others = (
        dataclasses.replace(train, images=images),
        dataclasses.replace(train, labels=labels),
        dataclasses.replace(train, preprocessing=Preprocessing((0.5,), (0.5,))),
        dataclasses.replace(train, preprocessing=Preprocessing((0.25,), (0.25,))),
        train.subset(torch.arange(74)),
        data(seed=1).train,
    )
    assert len({first, *map(fingerprint, others)}) == 1 + len(others)


def test_fingerprints_do_not_depend_on_the_memory_layout() -> None:
    train = data().train
    moved = train.images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert fingerprint(dataclasses.replace(train, images=moved)) == fingerprint(train)


def test_start_keys_are_those_that_stored_runs_used() -> None:
    made = plan(method="dm", ipc=1, validation=0.0)
    drawn = made.train.draw(1, 1, Key(0).fold("start", 1))
    expected = made.train.take(drawn)
    assert torch.equal(made.run().synthetic.images(torch.tensor([1])).detach(), expected)


def test_whitening_is_part_of_the_fingerprint() -> None:
    plain = data()
    whitened = dataclasses.replace(plain.train, preprocessing=data(zca="mtt").train.preprocessing)
    again = dataclasses.replace(
        whitened,
        preprocessing=dataclasses.replace(
            whitened.preprocessing, whitening=data(zca="rtp").train.preprocessing.whitening
        ),
    )
    assert len({fingerprint(plain.train), fingerprint(whitened), fingerprint(again)}) == 3


def test_an_absurd_count_is_refused_not_overflown() -> None:
    with pytest.raises(BadRequest, match="are more than the"):
        plan(synthetic_per_class=10**20)


def test_the_command_of_a_plan_names_the_size() -> None:
    made = make_plan(Request(ipc=1, method="dm"), data(), {"resize": 16, "data_dir": None})
    assert "--resize 16" in made.command


def test_the_command_fits_the_kind_of_source() -> None:
    assert plan().command.startswith("attar condense npz:zoo.npz ")
    from_python = dataclasses.replace(data(), source="data")
    assert plan(from_python, ipc=1).command.startswith("attar.condense(data, ")


def test_whether_classes_share_their_components_is_a_setting() -> None:
    task = Task("cifar10", 10, (3, 32, 32), 10)
    recipe = METHODS["slimmable"].recipe(task)
    changed = settle(recipe, Request(method="slimmable", settings=("share=class", "skew=0")), task)
    assert changed.parametrization == OrderedSVD(share="class")
    assert changed.penalty is not None and getattr(changed.penalty, "skew", None) == 0
    with pytest.raises(BadRequest, match="--set components=3: a budget holds as many"):
        settle(recipe, Request(method="slimmable", settings=("components=3",)), task)


def test_refusals_of_settings_name_their_option() -> None:
    batch = {"method": "dm", "network": "convnet3:norm=batch", "synthetic_per_class": 4}
    said = refused(**batch, settings=("batch=1",))
    assert said.startswith("--set batch=1: at least 2 images of a class"), said
    said = refused(objective="distribution:batch=1", method="dm")
    assert said.startswith("--objective distribution:batch=1: batch=1: at least 2"), said
    # what no construction shows, only the problem
    with pytest.raises(BadRequest) as caught:
        plan(**batch, settings=("batch=2",)).check()
    assert caught.value.text.startswith("--set batch=2: in convnet3:norm=batch batch")
    # a part by itself knows of no option
    with pytest.raises(BadRequest, match=r"^batch 1: at least 2 images"):
        DistributionMatching(batch=1)
