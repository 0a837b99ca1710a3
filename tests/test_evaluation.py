import dataclasses
import statistics

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from attar.augmentation import dsa as augmenting
from attar.data.images import LabelledImages
from attar.errors import BadRequest
from attar.evaluation import Result, evaluate_images
from attar.evaluation.intervals import quantile
from attar.evaluation.results import default_vectorized, training_effort
from attar.networks import build
from attar.rng import Key
from attar.training import CARDS, EvaluationCard, Trainer
from attar.training import trainer as training_module
from catalogue import COMPUTE, tiny_data
from references import training as reference

NAME = "convnet2:width=8"
DSA = "color_crop_cutout_flip_scale_rotate"
# a learning rate at which every part of the schedule is visible in the weights
BRIEF = EvaluationCard("brief", "a few epochs", epochs=6, augment="none", lr=0.1, batch=4)


def trainer(name: str = NAME, vectorized: int = 1, channels: int = 1) -> Trainer:
    return Trainer(build(name, channels, (8, 8), 3), COMPUTE, vectorized)


def tiny_set(count: int = 10, channels: int = 1) -> tuple[Tensor, Tensor]:
    images = torch.randn(count, channels, 8, 8, generator=Key(0).generator())
    return images, torch.arange(count) % 3


def one_hot(labels: Tensor) -> Tensor:
    return nn.functional.one_hot(labels, 3).double()


def by_reference(
    recipe: EvaluationCard, key: Key, images: Tensor, targets: Tensor, name: str = NAME, **net: str
) -> dict[str, Tensor]:
    orders = [
        training_module._permutation(len(images), key.fold("order", epoch))
        for epoch in range(recipe.epochs + 1)
    ]
    module = build(name, images.shape[1], (8, 8), 3).draw(key.fold("network"))
    weights = {name: tensor.detach() for name, tensor in module.named_parameters()}
    return reference.train(
        weights,
        images,
        targets,
        orders,
        recipe.epochs,
        recipe.batch,
        recipe.lr,
        recipe.momentum,
        recipe.weight_decay,
        **net,
    )


def assert_weights(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    for name, tensor in wanted.items():
        torch.testing.assert_close(
            found[f"module.{name}"].double(), tensor.double(), rtol=1e-4, atol=1e-5
        )


# training


@pytest.mark.parametrize("epochs", [1, 2, 5, 6])
def test_training_is_the_loop_of_the_field(epochs: int) -> None:
    """One epoch more than said; a tenth of the rate, and new momentum, after E // 2 + 1."""
    images, labels = tiny_set()
    recipe = dataclasses.replace(BRIEF, epochs=epochs)
    (found,) = trainer().fit(images, labels, recipe, "none", [Key(7)])
    assert_weights(found, by_reference(recipe, Key(7), images, one_hot(labels)))


@pytest.mark.parametrize("batch", [1, 3, 10, 256])
def test_batches_smaller_and_larger_than_the_set(batch: int) -> None:
    images, labels = tiny_set()
    recipe = dataclasses.replace(BRIEF, batch=batch, epochs=2, lr=0.02)
    (found,) = trainer().fit(images, labels, recipe, "none", [Key(7)])
    assert_weights(found, by_reference(recipe, Key(7), images, one_hot(labels)))


@pytest.mark.parametrize("vectorized", [1, 2])
def test_soft_labels(vectorized: int) -> None:
    images, _ = tiny_set()
    labels = torch.rand(10, 3, generator=Key(1).generator()).softmax(dim=1)
    found = trainer(vectorized=vectorized).fit(images, labels, BRIEF, "none", [Key(7), Key(8)])
    for key, tensors in zip((Key(7), Key(8)), found, strict=True):
        assert_weights(tensors, by_reference(BRIEF, key, images, labels.double()))


def test_one_hot_labels_train_as_class_indices_do() -> None:
    images, labels = tiny_set()
    (hard,) = trainer().fit(images, labels, BRIEF, "none", [Key(7)])
    (soft,) = trainer().fit(images, one_hot(labels).float(), BRIEF, "none", [Key(7)])
    for name, tensor in hard.items():
        torch.testing.assert_close(soft[name], tensor)


@pytest.mark.parametrize(
    "strategy",
    ["none", "dc:crop_scale_rotate", "dc:crop_noise", *DSA.split("_"), DSA, CARDS["idc"].augment],
)
def test_several_at_once_train_as_one_by_one(strategy: str) -> None:
    images, labels = tiny_set(channels=3)
    keys = [Key(seed) for seed in range(3)]
    alone = trainer(channels=3).fit(images, labels, BRIEF, strategy, keys)
    pairs = trainer(vectorized=2, channels=3).fit(images, labels, BRIEF, strategy, keys)
    assert len(alone) == len(pairs) == 3
    assert not torch.equal(*(one["module.classifier.weight"] for one in alone[:2]))
    for one, other in zip(alone, pairs, strict=True):
        assert one.keys() == other.keys()
        for name, tensor in one.items():
            assert not tensor.requires_grad and not other[name].requires_grad
            torch.testing.assert_close(other[name], tensor, rtol=1e-3, atol=1e-4)


def test_batch_norm_is_trained_one_by_one_with_running_statistics() -> None:
    name = f"{NAME},norm=batch"
    images, labels = tiny_set()
    several = trainer(name, vectorized=4)
    assert several.vectorized == 1
    recipe = dataclasses.replace(BRIEF, batch=5)
    found, other = several.fit(images, labels, recipe, "none", [Key(7), Key(8)])
    assert_weights(found, by_reference(recipe, Key(7), images, one_hot(labels), name, norm="batch"))
    assert int(found["module.blocks.1.num_batches_tracked"]) == 2 * 7
    running = [one["module.blocks.1.running_mean"] for one in (found, other)]
    assert running[0].abs().max() > 0 and not torch.equal(*running)


def test_augmentation_is_drawn_anew_for_every_batch_and_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noted: list[Tensor] = []

    def flip(images: Tensor, draws: Tensor) -> Tensor:
        noted.append(draws)
        return images

    monkeypatch.setitem(augmenting.OPERATIONS, "flip", flip)
    images, labels = tiny_set()
    recipe = dataclasses.replace(BRIEF, epochs=2)
    trainer().fit(images, labels, recipe, "flip", [Key(0)])
    assert [len(draws) for draws in noted] == [4, 4, 2] * 3
    rows = torch.cat(noted)
    assert len(rows.unique(dim=0)) == len(rows) == 30


def test_training_changes_neither_its_inputs_nor_the_global_generator() -> None:
    images, labels = tiny_set()
    before, state = images.clone(), torch.random.get_rng_state()
    one = trainer()
    (first,) = one.fit(images, labels, BRIEF, DSA, [Key(1)])
    torch.rand(3)
    (second,) = one.fit(images, labels, BRIEF, DSA, [Key(1)])
    torch.random.set_rng_state(state)
    one.fit(images, labels, BRIEF, DSA, [Key(1)])
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(images, before) and not images.requires_grad
    assert torch.equal(state, torch.random.get_rng_state())


# testing


@pytest.mark.parametrize("chunk", [1, 4, 26, 50])
def test_accuracy_counts_every_image_once(chunk: int) -> None:
    data = tiny_data()
    assert len(data) == 26
    one = Trainer(
        build(f"{NAME},norm=batch", 1, (8, 8), 3), dataclasses.replace(COMPUTE, chunk=chunk)
    )
    module = one.network.draw(Key(3)).eval()
    with torch.no_grad():
        predicted = module(data.take(torch.arange(26))).argmax(dim=1)
    right = sum(int(a == b) for a, b in zip(predicted, data.labels, strict=True))
    assert 0 < right < 26
    tensors = one.training.tensors(module)
    assert one.accuracy(tensors, data) == pytest.approx(100 * right / 26)


def test_training_learns() -> None:
    data = tiny_data(counts=(20, 20, 20))
    # flat images of three levels can be told apart without a normalisation
    flat = (data.labels.view(-1, 1, 1, 1) * 80 + 20).expand(-1, 1, 8, 8).to(torch.uint8)
    data = dataclasses.replace(data, images=flat.contiguous())
    index = torch.cat([own[:2] for own in data.indices_of_class])
    recipe = dataclasses.replace(BRIEF, epochs=60, lr=0.05)
    one = trainer(f"{NAME},norm=none")
    (tensors,) = one.fit(data.take(index), data.labels[index], recipe, "none", [Key(0)])
    assert one.accuracy(tensors, data) == 100


# evaluation of a set


def evaluated(test: LabelledImages | None = None, **options) -> list[Result]:
    images, labels = tiny_set()
    settings = {
        "dataset": "tiny",
        "networks": (NAME,),
        "repeats": 3,
        "compute": COMPUTE,
    }
    return evaluate_images(images, labels, test or tiny_data(), BRIEF, **settings | options)


def test_several_networks_count_by_their_mean_since_each_is_compiled_for_itself() -> None:
    small, large = (build(f"convnet2:width={one}", 3, (8, 8), 3) for one in (8, 32))
    one = training_effort(10, BRIEF, 2, [small])
    assert one == pytest.approx(small.effort(3 * 10 * BRIEF.passes(10) * 2))
    both = training_effort(10, BRIEF, 2, [small, large])
    assert both == pytest.approx((one + training_effort(10, BRIEF, 2, [large])) / 2)


def test_results_per_network_with_population_deviation() -> None:
    told: list[tuple[str, int, float | None]] = []
    deeper = "convnet1:width=8"
    results = evaluated(networks=(NAME, deeper), progress=lambda *line: told.append(line))
    assert [result.network for result in results] == [NAME, deeper]
    for result in results:
        values = result.accuracies
        assert len(values) == 3 and result.card == "brief" and result.seconds > 0
        mean = sum(values) / 3
        assert result.mean == pytest.approx(mean)
        assert result.std == pytest.approx((sum((v - mean) ** 2 for v in values) / 3) ** 0.5)
        assert result.as_dict()["std"] == result.std
    assert told == [
        (result.network, repeat + 1, said)
        for result in results
        for repeat, accuracy in enumerate(result.accuracies)
        for said in (None, accuracy)
    ]
    assert statistics.pstdev((1.0, 3.0)) == Result("a", "b", (1.0, 3.0), 0.0).std == 1.0


def test_results_do_not_depend_on_what_else_is_evaluated() -> None:
    (three,) = evaluated(key=Key(4))
    (one,) = evaluated(key=Key(4), repeats=1)
    _, again = evaluated(key=Key(4), networks=("convnet1:width=8", NAME))
    (vectorized,) = evaluated(key=Key(4), vectorized=2)
    (other,) = evaluated(key=Key(5))
    assert three.accuracies[:1] == one.accuracies and three.accuracies == again.accuracies
    assert three.accuracies == pytest.approx(vectorized.accuracies)
    assert three.accuracies != other.accuracies


def test_accuracies_are_those_of_the_trainer() -> None:
    images, labels = tiny_set()
    (result,) = evaluated(key=Key(4), repeats=2)
    one = trainer()
    keys = [Key(4).fold(NAME, repeat) for repeat in range(2)]
    expected = [
        one.accuracy(tensors, tiny_data())
        for tensors in one.fit(images, labels, BRIEF, "none", keys)
    ]
    assert list(result.accuracies) == expected


def test_the_name_of_the_dataset_decides_about_flips(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    fit = Trainer.fit

    def watched(self, images, labels, recipe, strategy, keys, *teacher):
        seen.append(strategy)
        return fit(self, images, labels, recipe, "none", keys, *teacher)

    monkeypatch.setattr(Trainer, "fit", watched)
    images, labels = tiny_set()
    recipe = dataclasses.replace(BRIEF, augment="flip_crop", epochs=1)
    for dataset in ("digits", "zoo"):
        evaluate_images(
            images, labels, tiny_data(), recipe, dataset=dataset, networks=(NAME,), repeats=1
        )
    assert seen == ["crop", "flip_crop"]


def test_all_at_once_on_a_gpu_one_by_one_on_a_cpu() -> None:
    assert default_vectorized(COMPUTE, 5) == 1
    gpu = dataclasses.replace(COMPUTE, device=torch.device("cuda"))
    assert default_vectorized(gpu, 5) == 5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"repeats": 0}, "--repeats 0"),
        ({"networks": ()}, "at least one network"),
        ({"networks": (NAME, "resmet18")}, "unknown network"),
        ({"test": tiny_data(channels=3)}, "the set has images of (1, 8, 8), tiny of (3, 8, 8)"),
        ({"test": tiny_data(size=9)}, "--resize"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(options: dict, said: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        evaluated(**options)
    assert said in str(refusal.value)


def test_real_images_train_batch_by_batch_as_tensors_do() -> None:
    data = tiny_data()
    trainer = Trainer(build(NAME, *tiny_shape(data), data.classes), COMPUTE)
    keys = [Key(3)]
    whole = data.take(torch.arange(len(data)))
    (lazy,) = trainer.fit(data, data.labels, BRIEF, "flip_crop", keys)
    (held,) = trainer.fit(whole, data.labels, BRIEF, "flip_crop", keys)
    assert all(torch.equal(lazy[name], held[name]) for name in held)


def tiny_shape(data: LabelledImages) -> tuple[int, tuple[int, int]]:
    channels, height, width = data.shape
    return channels, (height, width)


# how far the mean may be off


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 9, 19, 20, 99, 1000])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_quantiles_of_students_distribution(degrees: int, confidence: float) -> None:
    expected = stats.t.ppf((1 + confidence) / 2, degrees)
    assert quantile(degrees, confidence) == pytest.approx(expected, rel=1e-9)


def test_the_interval_of_the_mean_is_that_of_the_textbook() -> None:
    values = (70.0, 72.0, 71.0, 75.0, 68.0)
    found = Result("net", "card", values, 1.0)
    # t for four degrees of freedom, times the standard error of the mean
    error = statistics.stdev(values) / len(values) ** 0.5
    assert found.interval == pytest.approx(2.776445 * error, rel=1e-6)
    assert found.as_dict()["interval"] == found.interval
    # of two values t is 12.7, and says nothing
    assert Result("net", "card", (70.0,), 1.0).interval is None
    assert Result("net", "card", (70.0, 71.0), 1.0).interval is None
    assert Result("net", "card", (70.0,) * 3, 1.0).interval == 0


def test_later_repeats_are_those_of_a_longer_evaluation() -> None:
    (three,) = evaluated(key=Key(4))
    told: list[int] = []
    (last,) = evaluated(
        key=Key(4), repeats=1, first=2, progress=lambda _, repeat, __: told.append(repeat)
    )
    assert last.accuracies == three.accuracies[2:] and told == [3, 3]
    assert 0 < last.seconds < 600
