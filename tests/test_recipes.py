import dataclasses
import math

import pytest

from attar.budget import Budget, Ledger
from attar.errors import BadRequest
from attar.methods import METHODS, Recipe, Task
from attar.methods.gradient import loops
from attar.methods.recipe import published_network
from attar.networks import build
from attar.objectives import SignificancePenalty
from attar.optimisers import Optimiser
from attar.synthetic import Layout, LowRank, OrderedSVD, Pixels, planned_ledger
from attar.training import CARDS

SHAPES = {
    "mnist": (1, 28, 28),
    "fashion_mnist": (1, 28, 28),
    "svhn": (3, 32, 32),
    "cifar10": (3, 32, 32),
    "cifar100": (3, 32, 32),
    "tiny_imagenet": (3, 64, 64),
    "digits": (1, 8, 8),
    "own": (3, 40, 40),
}
CLASSES = {"cifar100": 100, "tiny_imagenet": 200}
# FACTS 1.3 and 3.1: the string of DSA; mirrored digits are other signs
FLIPPED = "color_crop_cutout_flip_scale_rotate"
UNFLIPPED = "color_crop_cutout_scale_rotate"


def task(dataset: str, ipc: int) -> Task:
    return Task(dataset, ipc, SHAPES[dataset], CLASSES.get(dataset, 10))


def recipe(method: str, dataset: str, ipc: int) -> Recipe:
    return METHODS[method].recipe(task(dataset, ipc))


def images_per_class(found: Recipe, dataset: str, ipc: int) -> int:
    one = task(dataset, ipc)

    def cost(count: int) -> Ledger:
        layout = Layout(one.classes, count, one.shape)
        return planned_ledger(layout, found.parametrization, "float32")

    return Budget(ipc=ipc).images(one.classes, one.shape, cost)


DECODERS = ("kfs", "esp", "fastkfs")
# without a pool, and every image at every step
UNAMORTISED = {"pool": 0, "refresh": 20, "batch": 0}
OWN = ("fastdm", "fastlodm", "fastkfs", "fastdc", "fastlodc")


def test_methods() -> None:
    coresets = {"random", "coded", "herding", "forgetting", "kcenter", "confident"}
    coresets |= {"taught", "rded", "kd"}
    kernels = {"frepo", "lofrepo", "slimmable"}
    idc, rtp = {"idc", "idc-i", "loidc", "loidc-i"}, {"remember-the-past", "lortp"}
    others = {"dc", "dsa", "lodc", "lodsa", "dm", "lodm", "lomtt", *idc, *rtp}
    others |= {"cafe", "cafe-dsa", "sre2l", "cda"}
    others |= {*DECODERS, *OWN, "best", "dd", "ld", "ld-or2"}
    infinite = ("kip", "kip-labels")
    whitened = {
        **dict.fromkeys(kernels, "frepo"),
        **dict.fromkeys(("mtt", "tesla", "haba", "lohaba"), "mtt"),
        **dict.fromkeys(infinite, "kip"),
        "rfad": "frepo",
    }
    assert METHODS.keys() == {*others, *whitened, *coresets}
    for name, method in METHODS.items():
        assert method.name == name
        assert method.summary
        assert method.paper
        assert method.zca("cifar10", 1) == whitened.get(name, "none")


# FACTS 3.1
@pytest.mark.parametrize("dataset", SHAPES)
@pytest.mark.parametrize("ipc", [1, 10, 50])
def test_dm_is_that_of_its_authors(dataset: str, ipc: int) -> None:
    found = recipe("dm", dataset, ipc)
    digits = dataset in ("mnist", "svhn", "digits")
    assert found.parametrization == Pixels()
    assert found.iterations == 20_000
    assert found.init == "real"
    assert found.card == "dsa-1000"
    assert not found.learned_labels
    assert found.optimisers.keys() == {"images"}
    optimiser = found.optimisers["images"]
    assert (optimiser.kind, optimiser.lr, optimiser.momentum) == ("sgd", 1.0, 0.5)
    assert dataclasses.asdict(found.objective) == {  # type: ignore[call-overload]
        "batch_real": 256,
        "augment": UNFLIPPED if digits else FLIPPED,
        **UNAMORTISED,
    }


@pytest.mark.parametrize(
    ("dataset", "ipc", "lr"),
    [
        ("cifar10", 99, 1.0),
        ("cifar10", 100, 10.0),
        ("cifar10", 1250, 10.0),
        ("cifar100", 100, 1.0),
    ],
)
def test_dm_learns_faster_on_large_sets_of_cifar10(dataset: str, ipc: int, lr: float) -> None:
    assert recipe("dm", dataset, ipc).optimisers["images"].lr == lr


# FACTS 4: rank, lr, augmentation, card, and images per class within the budget
LODM = [
    ("mnist", 1, 2, 1.0, FLIPPED, "dsa-1000", 7),
    ("mnist", 10, 8, 1.0, "none", "dc-1000", 17),
    ("mnist", 50, 8, 1.0, "none", "dc-1000", 87),
    ("cifar10", 1, 2, 1.0, FLIPPED, "dsa-1000", 8),
    ("cifar10", 10, 2, 1.0, FLIPPED, "dsa-1000", 80),
    ("cifar10", 50, 4, 1000.0, FLIPPED, "dsa-1000", 200),
    ("cifar100", 1, 2, 1.0, FLIPPED, "dsa-1000", 8),
    ("cifar100", 10, 2, 1.0, FLIPPED, "dsa-1000", 80),
    ("tiny_imagenet", 1, 4, 1.0, FLIPPED, "dsa-1000", 8),
    ("tiny_imagenet", 10, 4, 1.0, FLIPPED, "lodm-tiny-5000", 80),
    # budgets between and beyond: those of the nearest below
    ("mnist", 9, 2, 1.0, FLIPPED, "dsa-1000", 63),
    ("cifar10", 49, 2, 1.0, FLIPPED, "dsa-1000", 392),
    ("cifar10", 100, 4, 1000.0, FLIPPED, "dsa-1000", 400),
    ("cifar100", 50, 2, 1.0, FLIPPED, "dsa-1000", 400),
    ("tiny_imagenet", 50, 4, 1.0, FLIPPED, "lodm-tiny-5000", 400),
    # data that the authors did not use: as CIFAR-10
    ("svhn", 1, 2, 1.0, UNFLIPPED, "dsa-1000", 8),
    ("fashion_mnist", 10, 2, 1.0, FLIPPED, "dsa-1000", 70),
    ("own", 50, 2, 1.0, FLIPPED, "dsa-1000", 500),
]


@pytest.mark.parametrize(
    ("dataset", "ipc", "rank", "lr", "augmentation", "card", "count"),
    LODM,
    ids=[f"{row[0]} {row[1]}" for row in LODM],
)
def test_lodm_is_that_of_its_authors(
    dataset: str, ipc: int, rank: int, lr: float, augmentation: str, card: str, count: int
) -> None:
    found = recipe("lodm", dataset, ipc)
    assert found.parametrization == LowRank(rank)
    optimiser = found.optimisers["images"]
    assert (optimiser.kind, optimiser.lr, optimiser.momentum) == ("sgd", lr, 0.5)
    assert dataclasses.asdict(found.objective) == {  # type: ignore[call-overload]
        "batch_real": 256,
        "augment": augmentation,
        **UNAMORTISED,
    }
    assert found.iterations == 20_000
    assert found.init == "noise"
    assert found.card == card
    assert not found.learned_labels
    assert images_per_class(found, dataset, ipc) == count


# FACTS 2: outer and inner loops by images per class; the last two rows are between and beyond
LOOPS = [
    (1, 1, 1),
    (10, 10, 50),
    (20, 20, 25),
    (30, 30, 20),
    (40, 40, 15),
    (50, 50, 10),
    (100, 100, 2),
    (5, 5, 23),
    (15, 15, 38),
    (75, 75, 6),
    (500, 100, 2),
]


@pytest.mark.parametrize(("ipc", "outer", "inner"), LOOPS)
def test_loops_are_the_published_ones_and_lie_between(ipc: int, outer: int, inner: int) -> None:
    assert loops(ipc) == (outer, inner)


# FACTS 2 and 4: rank, augmentation, init, card, and images per class within the budget
GRADIENT = [
    ("dc", "mnist", 1, None, "none", "noise", "dc-1000", 1),
    ("dc", "fashion_mnist", 10, None, "none", "noise", "dc-300", 10),
    ("dc", "cifar10", 50, None, "none", "noise", "dc-300", 50),
    ("dsa", "mnist", 10, None, UNFLIPPED, "real", "dsa-1000", 10),
    ("dsa", "svhn", 10, None, UNFLIPPED, "real", "dsa-1000", 10),
    ("dsa", "cifar10", 1, None, FLIPPED, "real", "dsa-1000", 1),
    ("lodc", "mnist", 1, 2, "none", "noise", "dc-1000", 7),
    ("lodc", "mnist", 10, 2, "none", "noise", "dc-1000", 70),
    ("lodc", "cifar10", 10, 2, "none", "noise", "dc-300", 80),
    ("lodc", "cifar100", 10, 2, "none", "noise", "dc-300", 80),
    ("lodc", "tiny_imagenet", 1, 4, "none", "noise", "dc-300", 8),
    ("lodsa", "mnist", 1, 2, FLIPPED, "noise", "dsa-1000", 7),
    ("lodsa", "mnist", 50, 8, "none", "noise", "plain-1000", 87),
    ("lodsa", "svhn", 1, 2, UNFLIPPED, "noise", "dsa-1000", 8),
    ("lodsa", "cifar10", 1, 2, FLIPPED, "noise", "dsa-1000", 8),
    ("lodsa", "cifar100", 1, 2, FLIPPED, "noise", "dsa-1000", 8),
    ("lodsa", "cifar100", 10, 8, FLIPPED, "noise", "dsa-1000", 20),
    ("lodsa", "tiny_imagenet", 1, 4, FLIPPED, "noise", "dsa-1000", 8),
]


@pytest.mark.parametrize(
    ("method", "dataset", "ipc", "rank", "augmentation", "init", "card", "count"),
    GRADIENT,
    ids=[f"{row[0]} {row[1]} {row[2]}" for row in GRADIENT],
)
def test_gradient_matching_is_that_of_its_authors(
    method: str,
    dataset: str,
    ipc: int,
    rank: int | None,
    augmentation: str,
    init: str,
    card: str,
    count: int,
) -> None:
    found = recipe(method, dataset, ipc)
    outer, inner = {1: (1, 1), 10: (10, 50), 50: (50, 10)}[ipc]
    assert dataclasses.asdict(found.objective) == {  # type: ignore[call-overload]
        "batch_real": 256,
        "augment": augmentation,
        "distance": "layerwise",
        "outer": outer,
        "inner": inner,
        "lr_network": 0.01,
        "batch_train": 256,
        "pool": 0,
        "refresh": 20,
    }
    optimiser = found.optimisers["images"]
    assert (optimiser.kind, optimiser.lr, optimiser.momentum) == ("sgd", 0.1, 0.5)
    assert found.parametrization == (Pixels() if rank is None else LowRank(rank))
    assert found.iterations == 1000 * outer
    assert (found.init, found.card) == (init, card)
    assert not found.learned_labels
    assert images_per_class(found, dataset, ipc) == count


@pytest.mark.parametrize(("shape", "rank"), [((1, 1, 9), 1), ((3, 3, 2), 2), ((1, 3, 3), 2)])
def test_lodm_lowers_its_rank_for_tiny_images(shape: tuple[int, int, int], rank: int) -> None:
    assert METHODS["lodm"].recipe(Task("own", 1, shape, 3)).parametrization == LowRank(rank)


@pytest.mark.parametrize("ipc", [1, 50])
@pytest.mark.parametrize("dataset", SHAPES)
def test_random_is_real_images_and_no_update(dataset: str, ipc: int) -> None:
    found = recipe("random", dataset, ipc)
    assert found.iterations == 0
    assert found.init == "real"
    assert found.parametrization == Pixels()
    assert images_per_class(found, dataset, ipc) == ipc


@pytest.mark.parametrize("dataset", SHAPES)
@pytest.mark.parametrize("method", ["herding", "forgetting", "kcenter"])
def test_other_coresets_are_random_ones_but_for_the_choice_and_the_card_of_dc(
    method: str, dataset: str
) -> None:
    found = recipe(method, dataset, 10)
    card = "dc-1000" if dataset in ("mnist", "digits") else "dc-300"
    assert (found.init, found.card) == (method, card)
    assert dataclasses.replace(found, init="real", card="dsa-1000") == recipe("random", dataset, 10)


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ((1, 28, 28), "convnet3"),
        ((3, 32, 32), "convnet3"),
        ((3, 64, 64), "convnet3"),
        ((3, 127, 127), "convnet3"),
        ((3, 128, 128), "convnet5"),
        ((3, 256, 256), "convnet6"),
        ((3, 128, 512), "convnet5"),
        ((1, 8, 8), "convnet3"),
        ((3, 8, 8), "convnet3"),
        ((3, 7, 7), "convnet2"),
        ((3, 4, 100), "convnet2"),
        ((3, 2, 2), "convnet1"),
    ],
)
def test_the_published_network_deepens_with_the_image(
    shape: tuple[int, int, int], name: str
) -> None:
    assert published_network(Task("own", 1, shape, 3)) == name


# FACTS 9.1: network by image size, mirror images by data set and budget
FREPO = [
    ("mnist", 1, "frepo3", False),
    ("fashion_mnist", 10, "frepo3", False),
    ("digits", 1, "frepo3", False),
    ("svhn", 1, "frepo3", False),
    ("cifar10", 1, "frepo3", True),
    ("cifar10", 50, "frepo3", True),
    ("cifar100", 1, "frepo3", True),
    ("cifar100", 10, "frepo3", False),
    ("tiny_imagenet", 1, "frepo4", True),
    ("tiny_imagenet", 10, "frepo4", False),
    ("own", 10, "frepo3", True),
]


@pytest.mark.parametrize(("dataset", "ipc", "network", "mirror"), FREPO)
def test_frepo_is_that_of_its_authors(dataset: str, ipc: int, network: str, mirror: bool) -> None:
    found = recipe("frepo", dataset, ipc)
    assert found.parametrization == Pixels()
    assert found.iterations == 500_000
    assert (found.init, found.card, found.network) == ("real", "frepo", network)
    assert found.learned_labels and found.centred_labels and found.penalty is None
    lamb = Optimiser(3e-4, kind="lamb", schedule="cosine", floor=0.1)
    assert found.optimisers == {"images": lamb, "labels": lamb}
    assert dataclasses.asdict(found.objective) == {  # type: ignore[call-overload]
        "batch_real": 1024,
        "pool": 10,
        "age": 100,
        "lr_network": 3e-4,
        "ridge": 1e-6,
        "mirror": mirror,
        "margin": True,
        "uses": 1,
    }


def test_frepo_on_large_images_and_many_classes() -> None:
    large = METHODS["frepo"].recipe(Task("imagenette", 1, (3, 128, 128), 10))
    assert large.network == "frepo5"
    many = METHODS["frepo"].recipe(Task("imagenet", 1, (3, 64, 64), 1000))
    assert many.network == "frepo4"
    assert dataclasses.asdict(many.objective)["mirror"] is False  # type: ignore[call-overload]


@pytest.mark.parametrize("dataset", SHAPES)
def test_forms_of_frepo_differ_in_what_is_stored(dataset: str) -> None:
    found = recipe("frepo", dataset, 10)
    low_rank, ordered = recipe("lofrepo", dataset, 10), recipe("slimmable", dataset, 10)
    assert low_rank == dataclasses.replace(found, parametrization=LowRank(2))
    penalty = SignificancePenalty(skew=1e-2, ortho=1e-4)
    assert ordered == dataclasses.replace(found, parametrization=OrderedSVD(), penalty=penalty)


@pytest.mark.parametrize(
    ("name", "zca"),
    [
        ("mnist", "none"),
        ("fashion_mnist", "none"),
        ("digits", "none"),
        ("npz:some/fashion_mnist.npz", "none"),
        ("npz:fashion.npz", "frepo"),
        ("svhn", "frepo"),
        ("cifar100", "frepo"),
        ("folder:cifar10", "frepo"),
    ],
)
def test_frepo_whitens_all_but_grey_images(name: str, zca: str) -> None:
    for method in ("frepo", "lofrepo", "slimmable"):
        assert METHODS[method].zca(name, 10) == zca


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(2, 2), (3, 5), (8, 8), (28, 28), (130, 140)])
def test_every_recipe_can_be_built(method: str, channels: int, size: tuple[int, int]) -> None:
    shape = (channels, *size)
    task = Task("own", 1, shape, 3)
    if method in DECODERS and math.prod(shape) < 45:
        with pytest.raises(BadRequest, match="holds no latent code"):
            METHODS[method].recipe(task)
        return
    found = METHODS[method].recipe(task)
    build(found.network, channels, size, 3)
    found.parametrization.values(Layout(1, 1, shape))
    assert found.card in CARDS


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("ipc", [1, 10])
def test_our_own_methods_amortise_published_ones(own: str, ipc: int) -> None:
    published = own.removeprefix("fast")
    found, plain = recipe(own, "cifar10", ipc), recipe(published, "cifar10", ipc)
    assert found.parametrization == plain.parametrization and found.card == plain.card
    assert found.objective.augment == plain.objective.augment
    assert found.objective.pool > 1 and plain.objective.pool == 0
    assert (found.init, found.average, plain.average) == ("real", 0.95, 0.0)
    assert found.optimisers.keys() == plain.optimisers.keys()
    if own == "fastlodm":
        assert found.optimisers["images"].lr == 0.3
    # a run that the clock ends has constant rates
    assert all(one.schedule == "constant" for one in found.optimisers.values())
