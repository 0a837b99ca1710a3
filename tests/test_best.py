"""The method that decides by itself, and the images that a trained network is sure of."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest
import torch

import attar
from attar.coding import codecs_there
from attar.compute import Compute
from attar.condensing.condense import carry_out
from attar.condensing.planning import make_plan
from attar.condensing.request import Request
from attar.coresets import Confident
from attar.data import Splits, from_tensors
from attar.data.images import LabelledImages
from attar.errors import BadRequest
from attar.methods import METHODS, Choice, Method, Wanted
from attar.methods.best import best
from attar.methods.travelling import WIDTHS, convnet_bytes
from attar.networks import make_for
from attar.networks.paper_names import published_network
from attar.rng import Key
from attar.storage import storage_of
from attar.teachers.carried import planned_for
from attar.training.trainer import Trainer

COMPUTE = Compute(torch.device("cpu"), "float32", compile=False, chunk=64)
NETWORK = "convnet2:width=8"
QUICK: dict[str, Any] = {"torch_compile": "off", "precision": "float32", "device": "cpu"}
CIFAR = Wanted(
    "cifar10", (3, 32, 32), 10, 5_000, 50_000, 122_880, 10.0, codecs=("avif", "webp", "jpeg")
)


def two_kinds(each: int = 40, wrong: int = 8) -> LabelledImages:
    """Bright and dark images; the last of each class carry the other's label."""
    drawn = torch.rand(2 * each, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.3
    labels = torch.arange(2).repeat_interleave(each)
    looks = labels.clone()
    for label in range(2):
        looks[(label + 1) * each - wrong : (label + 1) * each] = 1 - label
    drawn[looks == 1] += 0.6
    return from_tensors(drawn, labels, name="kinds").train


def confident(**settings: Any) -> Confident:
    return Confident(
        epochs=12, lr_selection=0.02, batch_selection=16, augment_selection="none", **settings
    )


def test_images_that_a_network_is_sure_of_are_not_mislabelled() -> None:
    data = two_kinds()
    chosen = confident(sure=0.9).choose(
        data, [20, 20], make_for(NETWORK, data.shape, 2), COMPUTE, Key(0)
    )
    for label, own in enumerate(chosen):
        assert len(own.unique()) == 20
        assert bool((data.labels[own] == label).all())
        assert not set(own.tolist()) & set(range(40 * label + 32, 40 * label + 40))


def test_labels_are_the_teachers_probabilities() -> None:
    data, selector = two_kinds(), confident()
    network = make_for(NETWORK, data.shape, 2)
    found = selector.chosen(data, [5, 7], network, COMPUTE, Key(3))
    assert found.labels is not None
    study = selector.study(data, network, COMPUTE, Key(3))
    scores = Trainer(network, COMPUTE)
    for rows, labels in zip(found.rows, found.labels, strict=True):
        own = scores.scores(study.tensors, data.take(rows)).double()
        wanted = own.exp() / own.exp().sum(dim=1, keepdim=True)
        torch.testing.assert_close(labels.double(), wanted, rtol=1e-4, atol=1e-5)


def test_the_order_is_the_seeds_and_what_is_left_follows_by_sureness() -> None:
    data = two_kinds()
    network = make_for(NETWORK, data.shape, 2)
    selector = confident(sure=0.8)
    whole = selector.choose(data, [40, 40], network, COMPUTE, Key(1))
    again = selector.choose(data, [3, 40], network, COMPUTE, Key(1))
    assert again[0].tolist() == whole[0][:3].tolist()
    sure = selector.study(data, network, COMPUTE, Key(1)).probabilities(whole[0])[:, 0]
    enough = int((sure >= 0.8).sum())
    assert 2 <= enough < 40
    assert float(sure[:enough].min()) >= 0.8
    assert bool((sure[:enough].diff() > 0).any())
    assert bool((sure[enough:].diff() <= 1e-6).all())


@pytest.mark.parametrize(
    ("name", "value"), [("sure", -0.1), ("sure", 1.5), ("augment_selection", "spin")]
)
def test_refusals_of_the_selector(name: str, value: object) -> None:
    with pytest.raises(attar.BadRequest, match=str(value).rstrip("0").rstrip(".")):
        Confident(**{name: value})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("method", ["taught", "herding", "confident"])
def test_selectors_that_train_choose_images_to_be_coded(method: str) -> None:
    made = attar.condense(
        two_kinds(),
        method=method,
        storage="png:together=set" + (",labels=int4" if method == "taught" else ""),
        max_bytes=3_000,
        settings={"epochs": 2},
        network=NETWORK,
        **QUICK,
    )
    assert made.totals.all <= 3_000
    assert made.header.learned_labels == (method == "taught")
    assert len(made) > 2


@pytest.mark.parametrize(
    ("changes", "method", "words"),
    [
        ({}, "kd", ("avif:quality=35,together=class", "full size", "width=32", "epochs=14")),
        ({"minutes": 60.0}, "kd", ("epochs=14",)),
        ({"minutes": None}, "kd", ("epochs=14",)),
        ({"bytes": 1_228_800}, "kd", ("avif:quality=60,together=class", "width=64")),
        ({"images": 999}, "confident", ("full size",)),
        ({"given": frozenset({"teacher_storage"})}, "confident", ("full size",)),
        ({"given": frozenset({"card"})}, "confident", ("full size",)),
        ({"bytes": 90_000, "classes": 100}, "confident", ()),
        ({"bytes": 60_000}, "confident", ("avif:quality=25,together=class", "resized:side=24")),
        ({"bytes": 20_000}, "confident", ("avif:quality=35,together=set", "resized:side=16")),
        # as many in all are enough where there are more classes
        (
            {"bytes": 307_200, "classes": 100, "images": 180, "total": 18_000},
            "confident",
            ("avif:quality=25,together=class", "full size"),
        ),
        ({"images": 50}, "confident", ("avif:quality=60",)),
        ({"codecs": ("webp", "jpeg")}, "kd", ("webp",)),
        ({"bytes": 5_000}, "confident", ("jpeg",)),
        ({"shape": (1, 8, 8), "bytes": 2_560}, "random", ("jpeg", "grey")),
        ({"total": 1_438, "images": 140}, "random", ("avif", "so few")),
        ({"codecs": ()}, "fastlodm", ("low-rank",)),
        ({"updates": True}, "fastlodm", ("low-rank",)),
        ({"bytes": None}, "fastlodm", ()),
        ({"shape": (64,)}, "fastdm", ("no picture codec",)),
        ({"shape": (5, 32, 32)}, "fastlodm", ()),
        ({"classes": 1}, "fastlodm", ()),
    ],
)
def test_rules(changes: dict[str, Any], method: str, words: tuple[str, ...]) -> None:
    choice = best(dataclasses.replace(CIFAR, **changes))
    assert choice.method == method
    told = choice.words + choice.why
    assert all(word in told for word in words)


def test_a_teacher_has_a_share_of_the_minutes() -> None:
    epochs = [
        best(dataclasses.replace(CIFAR, minutes=minutes)).settings["epochs"]
        for minutes in (5, 10, 60, None)
    ]
    assert epochs == [7, 14, 14, 14]
    assert best(dataclasses.replace(CIFAR, minutes=4)).method == "random"


def test_coding_has_a_share_of_the_minutes() -> None:
    def storage(**changes: Any) -> str:
        return best(dataclasses.replace(CIFAR, **changes)).options["storage"]

    for minutes in (None, 60.0, 10.0, 5.0, 3.0):
        assert "speed" not in storage(bytes=1_228_800, minutes=minutes)
    assert "speed" not in storage(minutes=1.0)
    asked = [storage(bytes=1_228_800, minutes=minutes)[-8:] for minutes in (2.0, 1.0, 0.5)]
    assert asked == [",speed=7", ",speed=7", ",speed=9"]
    told = best(dataclasses.replace(CIFAR, bytes=1_228_800, minutes=0.5)).why
    assert "at speed 9, since coding at 6 would not fit the minutes" in told


def test_coding_that_fits_no_minutes_is_told() -> None:
    large = dataclasses.replace(
        CIFAR, shape=(3, 224, 224), classes=1_000, images=1_300, total=1_300_000, bytes=6 * 10**9
    )
    choice = best(large)
    assert choice.options["storage"].endswith("speed=9")
    assert "minutes of one core alone" in choice.why
    assert "alone" not in best(dataclasses.replace(large, minutes=None)).why


def test_minutes_that_did_not_hold_the_run_are_told() -> None:
    asked = Request(max_bytes=3_000, minutes=2, network=NETWORK, **QUICK)
    data = Splits(two_kinds(), None, source="kinds")
    # five minutes, and what the test itself takes
    with pytest.warns(UserWarning, match=r"--minutes 2: the command took 5(\.\d)?, since best"):
        carry_out(asked, data, attar.Callback(), time.perf_counter() - 300)


def test_best_is_what_bytes_without_a_method_ask_for_and_repeats() -> None:
    asked: dict[str, Any] = {"max_bytes": 3_000, "network": NETWORK, "seed": 4, **QUICK}
    made = attar.condense(two_kinds(), minutes=1, **asked)
    chosen = made.header.provenance["chosen"]
    assert made.header.method == chosen["method"] == "random"
    assert chosen["by"] == "best"
    again = attar.condense(two_kinds(), method="random", **chosen["options"], **asked)
    assert torch.equal(made.images, again.images)
    assert made.header.settings == again.header.settings


def test_what_is_given_is_kept() -> None:
    given = {"storage": "png:together=set", "form": "pixels"}
    made = attar.explain(two_kinds(), max_bytes=3_000, **given, **QUICK)
    assert made["chosen"]["method"] == "random"
    assert "options" not in made["chosen"]
    assert "--storage" not in made["command"]
    assert "storage='png:together=set'" in made["command"]


@pytest.mark.parametrize("given", [{"storage": "int4"}, {"zca": "mtt"}, {"average": 0.9}])
def test_what_coded_images_have_not_asks_for_a_trained_set(given: dict[str, Any]) -> None:
    made = attar.explain("digits", max_bytes=20_000, **given, **QUICK)
    assert made["chosen"]["method"] == "fastlodm"


def test_memory_counted_as_the_papers_do_asks_for_a_papers_method() -> None:
    told = attar.explain(two_kinds(), ipc=1, iterations=1, **QUICK)
    assert (told["method"], told["chosen"]) == ("lodm", None)
    named = attar.explain(two_kinds(), ipc=1, method="best", iterations=1, **QUICK)
    assert named["method"] == "fastlodm"


def test_explain_chooses_no_images_and_writes_nothing(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from attar.cli import main

    def trained(*given: object, **named: object) -> None:
        raise AssertionError("a network is trained")

    monkeypatch.setattr(Trainer, "fit_together", trained)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["condense", "digits", "--bytes", "2560", "--minutes", "1", "--explain"])
    said = capsys.readouterr().out
    assert "best chose --method random" in said
    assert "attar condense digits" in said
    assert list(tmp_path.iterdir()) == []


def test_too_few_bytes_are_refused_before_a_network_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def trained(*given: object, **named: object) -> None:
        raise AssertionError("a network is trained")

    monkeypatch.setattr(Trainer, "fit_together", trained)
    with pytest.raises(attar.BadRequest, match="20 bytes holds no coded image of each class"):
        attar.condense(
            two_kinds(), method="confident", storage="jpeg:together=set", max_bytes=20, **QUICK
        )


def test_a_teacher_that_leaves_no_room_is_refused_before_it_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def trained(*given: object, **named: object) -> None:
        raise AssertionError("a network is trained")

    monkeypatch.setattr(Trainer, "fit_together", trained)
    asked: dict[str, Any] = {"method": "kd", "storage": "png:together=set", **QUICK}
    asked |= {"teacher": "convnet2:norm=batch,width=16", "network": NETWORK}
    with pytest.raises(attar.BadRequest, match="of them for the network that the set carries"):
        attar.condense(two_kinds(), max_bytes=3_900, **asked)


def test_best_is_listed_last_so_that_parts_are_known_from_their_own_methods() -> None:
    assert list(METHODS)[-1] == "best"
    assert codecs_there()


def test_coded_decides_through_the_same_hook_and_explain_tells_it() -> None:
    asked: dict[str, Any] = {"method": "coded", "max_bytes": 3_000, "network": NETWORK, **QUICK}
    told = attar.explain(two_kinds(), **asked)
    chosen = told["chosen"]
    assert (chosen["by"], chosen["method"], told["method"]) == ("coded", "coded", "coded")
    assert "chosen among" in chosen["why"]
    assert all(f"{value}" in told["command"] for value in chosen["options"].values())
    made = attar.condense(two_kinds(), **asked)
    assert made.header.provenance["chosen"] == chosen
    assert attar.explain(two_kinds(), **asked, **chosen["options"])["chosen"] is None


def test_choosing_a_codec_says_how_far_it_is() -> None:
    seen: list[tuple[str, int, int]] = []

    class Watching(attar.Callback):
        def reading(self, what: str, done: int, total: int) -> None:
            seen.append((what, done, total))

    attar.condense(
        two_kinds(),
        method="coded",
        max_bytes=3_000,
        network=NETWORK,
        callback=Watching(),
        **QUICK,
    )
    tried = [(done, total) for what, done, total in seen if what == "trying picture codecs"]
    assert tried and [done for done, _ in tried] == list(range(tried[-1][1] + 1))


def test_the_first_choice_that_the_budget_holds_is_taken() -> None:
    def choose(given: Wanted) -> list[Choice]:
        return [
            Choice("random", "it is large", options={"storage": "float32"}),
            Choice("random", "it is small", options={"storage": "png:together=set"}),
        ]

    own = Method("own", "two choices", "", METHODS["random"].recipe, choose=choose)
    made = attar.explain(two_kinds(), method=own, max_bytes=1_000, **QUICK)
    assert made["chosen"]["why"] == "it is small"


def test_taught_counts_its_labels_as_they_are_kept() -> None:
    asked: dict[str, Any] = {
        "method": "taught",
        "storage": "png:together=set,labels=int8",
        "settings": {"epochs": 2},
        "network": NETWORK,
        **QUICK,
    }
    data = Splits(two_kinds(), None, source="kinds")
    plan = make_plan(Request(max_bytes=5_000, **asked), data)
    made = attar.condense(data, max_bytes=5_000, **asked)
    kept = {one.name: one.bytes for one in made.ledger.entries}
    assert {one.name: one.bytes for one in plan.ledger.entries} == kept
    # zlib makes them smaller than packed whole numbers
    labels = next(name for name in kept if name.startswith("labels"))
    assert kept[labels] < (storage_of("int8").planned(labels, (len(made), 2)) or 0)


@pytest.mark.parametrize("shape", [(3, 32, 32), (3, 64, 64), (1, 28, 28)])
@pytest.mark.parametrize("width", WIDTHS)
def test_bytes_of_a_teacher_that_travels(shape: tuple[int, ...], width: int) -> None:
    name = f"{published_network(shape)}:norm=batch,width={width}"
    planned = planned_for(make_for(name, shape, 10), "int8").planned()
    assert convnet_bytes(shape, 10, width) == pytest.approx(
        sum(map(len, planned.values())), rel=0.01
    )


@pytest.mark.skipif(not codecs_there(), reason="there is no picture codec")
def test_ranks_are_refused_before_real_images_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    def choosing(*asked: object, **how: object) -> None:
        raise AssertionError("real images are chosen")

    monkeypatch.setattr("attar.condensing.planning.select", choosing)
    data = two_kinds()
    said = "2 ranks: method 'random' was chosen by 'best' here: makes no updates.*--method dm"
    with pytest.raises(BadRequest, match=said):
        make_plan(Request(method="best", max_bytes=2_000, workers=2, **QUICK), Splits(data, data))
