"""What other commands make of a set that carries the network which labels its images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import attar
from attar.applications.auditing.observing import by_carried, margins
from attar.applications.auditing.rates import attack
from attar.applications.auditing.shadows import shadow_request
from attar.errors import ArtefactError, BadRequest
from attar.evaluation import forecast
from attar.evaluation.comparing import as_carried
from attar.evaluation.forecast import Forecast, timed_teacher
from attar.evaluation.measuring import Measurer
from attar.face.files import labels_of
from attar.networks import Network, from_timm, make_for
from attar.pictures.settings import facts
from attar.report.facts import labels
from attar.rng import Key
from attar.teachers.carried import planned_for
from attar.teachers.finding import find_teacher
from attar.teachers.teacher import PREFIX, tensors_of
from attar.training import card as find_card
from attar.training.trainer import Trainer
from catalogue import COMPUTE
from test_carried import ASKED, TEACHER, data, inside

BRIEF: dict[str, Any] = {"updates": 2, "device": "cpu"}
NETWORKS = ["convnet1:width=4", "convnet2:width=4"]


@pytest.fixture(scope="module")
def made() -> attar.Artefact:
    return attar.condense(data(), **ASKED)


@pytest.fixture(scope="module")
def relabelled(made: attar.Artefact) -> attar.Artefact:
    return attar.relabel(made, data(), labels="int8", epochs=1, network=NETWORKS[0], device="cpu")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be timed before it is done."""
    monkeypatch.setattr(Forecast, "seconds", lambda *_: 0.0)


@pytest.fixture
def taught(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Note of every training whether a teacher labelled its batches."""
    found: list[bool] = []
    fit = Trainer.fit

    def noting(self: Trainer, *given: Any, **options: Any) -> Any:
        teacher = options.get("teacher", given[5] if len(given) > 5 else None)
        found.append(teacher is not None)
        return fit(self, *given, **options)

    monkeypatch.setattr(Trainer, "fit", noting)
    return found


@pytest.mark.usefixtures("at_once")
def test_candidates_learn_from_what_it_says(
    made: attar.Artefact, relabelled: attar.Artefact, taught: list[bool]
) -> None:
    asked: dict[str, Any] = {"networks": NETWORKS, "beside": (), **BRIEF}
    found = attar.rank(made, data(), **asked)
    assert found.proxies[0].bytes == made.nbytes
    # and of the whole set there are classes alone
    assert taught == [True, True, False, False]
    card, teacher = find_card("kd"), inside(made)
    own, again = (as_carried(one, card, teacher) for one in (made, relabelled))
    assert own.bytes == again.bytes == made.nbytes and again.labels.ndim == 1
    assert as_carried(made, card, None).teacher is None


@pytest.mark.usefixtures("at_once")
def test_a_ranking_of_another_teacher_is_not_gone_on_with(
    made: attar.Artefact, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {"networks": NETWORKS, "beside": (), "output": tmp_path / "r.json"}
    attar.rank(made, data(), **asked, **BRIEF)
    other = attar.condense(data(), **{**ASKED, "teacher_storage": "int4"})
    few = torch.equal(made.images, other.images[: len(made)])
    assert few or len(made) != len(other)
    with pytest.raises(BadRequest, match=r"r\.json"):
        attar.rank(other, data(), resume=True, **asked, **BRIEF)


def test_a_forecast_counts_what_the_network_takes_at_every_batch(
    made: attar.Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = data().test
    assert held is not None
    network = make_for(NETWORKS[0], held.shape, held.classes)
    measurer = Measurer(held, [network], 2, "tiny", COMPUTE, Key(0))
    teacher, card = inside(made), find_card("kd")
    assert timed_teacher(teacher, 8, measurer) > 0
    monkeypatch.setattr(forecast, "timed", lambda *_: forecast.Cost(0.0, 0.0, 0.0))
    asked: list[int] = []
    monkeypatch.setattr(forecast, "timed_teacher", lambda _, batch, __: asked.append(batch) or 0.5)
    own = as_carried(made, card, teacher)
    works = [forecast.Work(own, network, 2), forecast.Work(own, network, 1)]
    # each image of every pass of three trainings
    wanted = 3 * card.passes(len(made)) * len(made) * 0.5
    assert Forecast(measurer).seconds(works) == pytest.approx(wanted)
    assert asked == [min(card.batch, len(made))]
    alone = forecast.Work(as_carried(made, card, None), network, 1)
    assert Forecast(measurer).seconds([alone]) == 0


def test_an_audit_asks_the_network_itself(made: attar.Artefact) -> None:
    held = data()
    found = attar.audit(made, held, device="cpu")
    assert list(found.attacks) == ["copies", "nearest", "network"]
    assert TEACHER in found.attacks["network"].what
    teacher = inside(made)
    # log(p / (1 − p)) of the class of each image
    sure = []
    for part in (held.train, held.test):
        assert part is not None
        shown = teacher.scores(part.take(torch.arange(len(part)))).double().softmax(dim=1)
        own = shown[torch.arange(len(part)), part.labels]
        sure.append((own / (1 - own)).log())
        assert torch.allclose(sure[-1], margins(teacher.scores, part, 3), atol=1e-6)
    expected = attack("", *sure)
    assert found.attacks["network"].auc == pytest.approx(expected.auc)
    plain = attar.condense(held, method="random", synthetic_per_class=1, device="cpu")
    assert by_carried(plain, held.train, held.train, "cpu") is None


def test_shadow_sets_are_made_as_it_was(made: attar.Artefact, taught: list[bool]) -> None:
    request = shadow_request(made, None, None, device="cpu")
    shadow = attar.condense(data(), request)
    for name in ("init", "network", "card", "teacher_storage", "storage"):
        assert shadow.header.settings[name] == made.header.settings[name]
    assert shadow.carried is not None and shadow.carried.described.network == TEACHER
    assert torch.equal(shadow.images, made.images)
    taught.clear()
    found = attar.audit(made, data(), shadows=2, epochs=1, device="cpu")
    assert found.likelihood is not None
    assert taught == [True] * 3


def test_shadow_sets_take_no_teacher_that_has_seen_it_all(made: attar.Artefact) -> None:
    told = {**made.header.settings["init"], "teacher": "own.teacher.safetensors"}
    header = made.header.model_copy(update={"settings": {**made.header.settings, "init": told}})
    other = attar.artefact.artefact.Artefact(
        header, made.synthetic, made.preprocessing, coded=made.coded, carried=made.carried
    )
    with pytest.raises(BadRequest, match=r"own\.teacher\.safetensors, a teacher from disk"):
        attar.audit(other, data(), shadows=2, device="cpu")


def test_rows_of_stored_labels_have_a_name_of_their_own(relabelled: attar.Artefact) -> None:
    rows = attar.evaluate(relabelled, data(), repeats=1, torch_compile="off", **BRIEF)
    assert [one.labels for one in rows] == ["taught", "own", "hard"]
    first, *others = (one.name for one in rows)
    assert others == [f"{first}, stored labels", f"{first}, hard labels"]
    told = labels_of(relabelled)
    assert told["stored_from"] == NETWORKS[0] and told["teacher"]["network"] == TEACHER


def test_an_iterate_is_validated_as_networks_learn_from_it(taught: list[bool]) -> None:
    asked = {**ASKED, "validation": 0.25, "max_bytes": 4_000}
    attar.condense(data(), **asked)
    assert taught == [True]
    attar.condense(data(), **asked, card="dsa-1000")
    assert taught == [True, False]


@pytest.mark.parametrize("method", ["kd", "taught", "confident"])
def test_a_refusal_names_how_its_images_are_chosen(method: str) -> None:
    with pytest.raises(BadRequest, match="--method dm --init confident"):
        attar.condense(data(), method=method, ipc=1, minutes=1)


def test_whoever_shares_it_is_told_of_the_network(made: attar.Artefact, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    licences: dict[str, Any] = {"license": "cc0-1.0", "source_license": "cc0-1.0"}
    attar.push(made, to=tmp_path / "kd", **licences)
    page = (tmp_path / "kd" / "README.md").read_text(encoding="utf-8")
    assert f"also holds {TEACHER}, which was trained on the real images" in page
    assert "attar.teacher_of(condensed)" in page
    assert "a network that was trained on all the real images" in page.partition("## Privacy")[2]
    told = json.loads((tmp_path / "kd" / "croissant.json").read_text(encoding="utf-8"))
    assert told["distribution"][0]["description"].endswith("the network that labels its images")
    assert "So can the network" in told["rai:personalSensitiveInformation"]
    assert inside(attar.load(tmp_path / "kd" / "set.safetensors")).digest == inside(made).digest


def test_it_is_no_teacher_of_others(made: attar.Artefact, tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    made.save(path)
    with pytest.raises(ArtefactError, match=r"holds no teacher; .* labels that set alone"):
        find_teacher(str(path), data().train, COMPUTE)


def test_pages_say_where_its_labels_come_from(made: attar.Artefact, tmp_path: Path) -> None:
    plain = attar.condense(data(), method="random", synthetic_per_class=1, device="cpu")
    assert labels(plain) == "the class of each image"
    assert labels(made).startswith(f"of {TEACHER} in the file")
    paths = [tmp_path / f"{name}.safetensors" for name in ("kd", "plain")]
    for one, path in zip((made, plain), paths, strict=True):
        one.save(path)
    page = attar.write_report(paths, tmp_path / "both.html").read_text(encoding="utf-8")
    assert "The sets have different labels" in page and "those of a network in the file" in page


def test_a_plan_draws_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    network = make_for(TEACHER, (3, 8, 8), 4)
    values = tensors_of(network.draw(Key(0)))
    shapes = {
        name.removeprefix(PREFIX): list(one.shape)
        for name, one in values.items()
        if one.is_floating_point()
    }

    def drawn(*_: object) -> None:
        raise AssertionError("weights were drawn")

    with monkeypatch.context() as patched:
        patched.setattr(Network, "draw", drawn)
        assert planned_for(network, "int8").shapes == shapes

    def without(*_: object) -> None:
        raise from_timm.NeedsWeights("a timm that needs weights to tell shapes")

    monkeypatch.setattr("attar.teachers.carried.outlined_for", without)
    assert planned_for(network, "int8").shapes == shapes


def test_sets_of_other_teachers_are_told_apart(made: attar.Artefact) -> None:
    told = {**made.header.settings["init"], "teacher": "convnet2:width=5"}
    other = made.header.model_copy(update={"settings": {**made.header.settings, "init": told}})
    first, second = facts(made.header), facts(other)
    assert {name for name in first if first[name] != second[name]} == {"init teacher"}
    # they are keys of groups
    assert len({tuple(first.items()), tuple(second.items())}) == 2
