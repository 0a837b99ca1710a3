"""Clients that send condensed sets to a server: `attar.federated`."""

import dataclasses
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import attar
from attar import Artefact, BadRequest
from attar.applications.continual.request import Condensing
from attar.applications.federated.asking import Answer, Ask
from attar.applications.federated.averaging import averaged, packed
from attar.applications.federated.bandwidth import parse_bandwidth
from attar.applications.federated.client import Client, Local
from attar.applications.federated.request import FederatedRequest
from attar.applications.federated.results import FederatedResult
from attar.applications.federated.running import carry_out, prepare, serve
from attar.applications.federated.telling import FederatedCallback
from attar.cli import run as attar_command
from attar.tensors import read_header, read_tensors, save_tensors

READ: dict[str, Any] = {"classes": 5, "per_class": 12}
OPTIONS: dict[str, Any] = {"updates": 2, "repeats": 1}
MAKE: dict[str, Any] = {"network": "convnet1:width=4", "validation": 0, "device": "cpu"}
RANDOM: dict[str, Any] = {**MAKE, "method": "random"}
DM: dict[str, Any] = {**MAKE, "method": "dm", "iterations": 2, "settings": "batch_real=4"}


def quick(clients: int = 2, bandwidth: Any = 12, **options: Any) -> FederatedResult:
    given: Any = {**READ, **OPTIONS, **RANDOM, **options}
    return attar.federated("digits", clients, bandwidth, **given)


class Said(FederatedCallback):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def said(self, line: str) -> None:
        self.lines.append(line)


def test_clients_join_and_what_they_send_is_slimmed_to_their_share(tmp_path: Path) -> None:
    said = Said()
    result = quick(3, 12, output=tmp_path, callback=said)
    rounds = result.rounds
    assert [one.participants for one in rounds] == [1, 2, 3]
    # 5 classes are shared out as 2, 2, 1, and none is left out; tested is what was seen
    assert [len(one.classes) for one in rounds] == [2, 4, 5]
    assert [one.images_per_class for one in rounds] == [(6,), (3, 3), (2, 2, 4)]
    assert [one.paper_bytes for one in rounds] == [12 * 256, 12 * 256, 12 * 256]
    assert all(one.paper_bytes <= result.limit == 12 * 256 for one in rounds)
    # what travels is counted with the headers of the files
    for one in rounds:
        sizes = [(tmp_path / part).stat().st_size for part in one.sets]
        assert one.carried == sum(sizes) > one.bytes == one.paper_bytes
        assert one.counted is None and not one.refused
    assert any("12 images: 6 → 3 → 2 to 4 images of each class" in line for line in said.lines)
    told = json.loads((tmp_path / "results.json").read_text())
    assert told["rounds"][-1]["mean"] == rounds[-1].mean
    assert FederatedResult.load(tmp_path / "results.json") == result
    page = (tmp_path / "federated.html").read_text()
    assert page.count("<svg") == 2 and "Run it again" in page


def test_a_folder_of_another_run_is_refused_whatever_carries_the_messages(tmp_path: Path) -> None:
    quick(output=tmp_path)
    for options in ({"updates": 3}, OPTIONS):
        request = FederatedRequest(2, "12", output=tmp_path, **{**OPTIONS, **options})
        prepared = prepare(request, Condensing(**RANDOM), "digits", FederatedCallback(), READ)
        if options is OPTIONS:
            assert serve(prepared, tmp_path, Local({}, 1.0, FederatedCallback())).rounds
            continue
        with pytest.raises(BadRequest, match="another run is there"):
            serve(prepared, tmp_path, Local({}, 1.0, FederatedCallback()))
    (tmp_path / "asked.json").write_text("{")
    with pytest.raises(BadRequest, match=r"another run is there .its asked\.json is damaged"):
        quick(output=tmp_path)


def test_a_client_sends_no_more_than_it_has() -> None:
    said = Said()
    # 12 images of each of 5 classes: 3 and 2 are shared out
    rounds = quick(2, 1000, callback=said).rounds
    assert [one.images_per_class for one in rounds] == [(12,), (12, 12)]
    assert [one.paper_bytes for one in rounds] == [36 * 256, 60 * 256]
    assert any("1000 images: 12 → 12 images of each class" in line for line in said.lines)


def test_every_slimming_begins_with_the_first_set(tmp_path: Path) -> None:
    quick(3, 18, output=tmp_path, classes=6, slim_iterations=1, **DM)
    folder = tmp_path / "clients" / "client-1"
    first = attar.load(folder / "dm.safetensors")
    # the whole bandwidth, as if nobody else took part
    assert first.header.images_per_class == 9 and first.header.class_names != list("012345")
    slimmed = [folder / f"dm-at-{share}.safetensors" for share in (9, 6)]
    for path in slimmed:
        told = attar.load(path).header.provenance["slimmed"]
        assert told["from"] == "dm.safetensors" and "before" not in told


def test_nothing_that_is_sent_says_where_the_images_lie(tmp_path: Path) -> None:
    result = quick(output=tmp_path)
    header = attar.load(tmp_path / result.rounds[-1].sets[0]).header
    assert set(header.provenance) <= {"dataset", "attar", "step"}
    assert str(tmp_path) not in header.model_dump_json()


def test_uneven_shares_of_every_class() -> None:
    said = Said()
    result = quick(3, 60, dirichlet=0.5, seed=1, callback=said)
    sizes = [line for line in said.lines if line.startswith("client")]
    assert len(sizes) == 3
    # classes of one name that several clients have are one class
    assert set(result.rounds[-1].classes) <= set("01234")
    assert len(result.rounds[-1].images_per_class) == 3
    even = Said()
    quick(2, 60, dirichlet=10_000, callback=even)
    assert all("30 images of 5 classes" in line for line in even.lines if "client" in line[:6])


def test_more_clients_than_classes_share_them_unevenly_or_are_refused() -> None:
    assert quick(6, 60, dirichlet=100.0).rounds[-1].participants == 6
    with pytest.raises(BadRequest, match="6: there are 5 classes, and each client needs one"):
        quick(6, 60)


def test_baselines_send_the_same_bytes(tmp_path: Path) -> None:
    more: Any = {**DM, "slimming": "random", "per_class": 40, "output": tmp_path}
    result = quick(2, 100, baselines="fedavg,random,coded", **more)
    assert result.contenders == ("dm", "fedavg", "random", "coded")
    for one in result.rounds:
        if one.contender != "fedavg":
            assert 0 < one.paper_bytes <= result.limit
            assert one.network == "convnet1:width=4"
    # as often as the bandwidth allows, and never more bytes than that
    last = result.of("fedavg")[-1]
    assert len(last.turns) == result.limit // (last.paper_bytes // len(last.turns)) >= 2
    assert last.paper_bytes <= result.limit and last.turns[-1].carried == last.carried
    assert len(last.classes) == 5 and last.accuracies


def test_averages_count_images() -> None:
    one, two = {"w": torch.tensor([1.0]), "n": torch.tensor(3)}, {"w": torch.tensor([4.0])}
    found = averaged([(one, 2), ({**two, "n": torch.tensor(5)}, 1)])
    assert found["w"].item() == 2 and found["n"].item() == 3


def test_a_run_goes_on_where_it_was_left(tmp_path: Path) -> None:
    class Ends(FederatedCallback):
        def measured(self, one: Any) -> None:
            raise KeyboardInterrupt

    whole = quick(3, 12, output=tmp_path / "whole")
    for _ in whole.rounds[:-1]:
        with pytest.raises(KeyboardInterrupt):
            quick(3, 12, output=tmp_path / "run", callback=Ends())
        # the round that is there is not held again
        (tmp_path / "run" / "random" / "round-1" / "client-1.safetensors").unlink(missing_ok=True)
    again = quick(3, 12, output=tmp_path / "run")
    assert [one.accuracies for one in again.rounds] == [one.accuracies for one in whole.rounds]
    assert not (tmp_path / "run" / "random" / "round-1" / "client-1.safetensors").exists()
    with pytest.raises(BadRequest, match=r"another run is there.*--overwrite"):
        quick(3, 12, output=tmp_path / "run", seed=1)
    assert quick(2, 12, output=tmp_path / "run", overwrite=True).clients == 2


# what a client may do wrong: from the right message to what arrives
Wrong = Callable[[bytes], Answer]


class Tampering(Local):
    """Clients of which the second does something wrong."""

    wrong: Wrong

    def send(self, asked: Mapping[int, Ask], payload: bytes = b"") -> Mapping[int, Answer]:
        answers = dict(super().send(asked, payload))
        if 2 in answers:
            answers[2] = type(self).wrong(answers[2].data or b"")
        return answers


def with_wrong(wrong: Wrong, folder: Path, **options: Any) -> FederatedResult:
    kind = type("Wronged", (Tampering,), {"wrong": staticmethod(wrong)})
    return with_line(kind, folder, **options)


def with_line(kind: type[Local], folder: Path, **options: Any) -> FederatedResult:
    callback = FederatedCallback()
    request = FederatedRequest(2, "12", **{**OPTIONS, "output": folder, **options})

    def line(clients: Mapping[int, Client]) -> Local:
        return kind(clients, 60.0, callback)

    return carry_out(request, Condensing(**RANDOM), "digits", callback, line, **READ)


def resaved(change: Callable[[Artefact], Artefact | None]) -> Wrong:
    """Return a client that sends a well-formed file of another content."""

    def wrong(data: bytes) -> Answer:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "one.safetensors"
            path.write_bytes(data)
            artefact = attar.load(path)
            (change(artefact) or artefact).save(path)
            return Answer(path.read_bytes())

    return wrong


def other(**options: Any) -> Callable[[Artefact], Artefact]:
    def made(_: Artefact) -> Artefact:
        given: Any = {"ipc": 1, **READ, **RANDOM, **options}
        return attar.condense("digits", **given)

    return made


def of_nan(data: bytes) -> Answer:
    """Send a file whose checksums are right, and whose first value is not a number."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.safetensors"
        path.write_bytes(data)
        header, tensors = read_header(path), read_tensors(path)
        next(iter(tensors.values())).view(-1)[0] = float("nan")
        save_tensors(path, tensors, header)
        return Answer(path.read_bytes())


WRONG: dict[str, tuple[Wrong, str]] = {
    "late": (lambda data: Answer(missing="it had not answered after 5 s"), "not answered after 5"),
    "truncated": (lambda data: Answer(data[:-9]), "its set is truncated or damaged"),
    "empty": (lambda data: Answer(b""), "its set is not a safetensors file"),
    "oversized": (lambda data: Answer(data + bytes(2**21)), "is longer than any that is allowed"),
    "foreign": (lambda data: Answer(b"PK\x03\x04" + bytes(400)), "its set"),
    "NaN": (of_nan, "stored values are NaN or Inf"),
    "shapes": (resaved(other(classes="1,2", resize=12)), "12×12.*, others .*8×8"),
    "label": (resaved(other(classes="8,9")), "the class '8', which is not its own"),
}


def test_weights_that_are_no_weights_are_left_out(tmp_path: Path) -> None:
    def wrong(data: bytes) -> Answer:
        if b"attar federated weights" not in data:
            return Answer(data)
        return Answer(packed({"w": torch.tensor([float("nan")])}, 1))

    result = with_wrong(wrong, tmp_path, baselines="fedavg")
    assert not result.of("random")[-1].refused
    last = result.of("fedavg")[-1]
    assert [one.why for one in last.refused] == ["its weights are of another network"]
    assert last.accuracies and len(last.classes) == 5


def test_more_than_a_share_is_refused(tmp_path: Path) -> None:
    class Greedy(Local):
        def send(self, asked: Mapping[int, Ask], payload: bytes = b"") -> Mapping[int, Answer]:
            first = {client: dataclasses.replace(one, share=12) for client, one in asked.items()}
            return super().send(first, payload)

    last = with_line(Greedy, tmp_path).rounds[-1]
    assert [one.why for one in last.refused] == [
        "its set takes 3072 B, more than its share of 1536 B"
    ] * 2


def test_where_nothing_arrives_the_run_goes_on(tmp_path: Path) -> None:
    class Nobody(Local):
        def send(self, asked: Mapping[int, Ask], payload: bytes = b"") -> Mapping[int, Answer]:
            return {}

    result = with_line(Nobody, tmp_path)
    assert [one.mean for one in result.rounds] == [None, None]
    assert result.rounds[1].refused[1].why == "it did not answer"
    assert "nothing arrived" in (tmp_path / "federated.html").read_text()


def test_a_client_that_takes_too_long_is_late() -> None:
    last = quick(timeout=1e-9).rounds[-1]
    assert [one.why for one in last.refused] == ["it had not answered after 1e-09 s"] * 2


@pytest.mark.parametrize(
    ("clients", "bandwidth", "options", "message"),
    [
        (0, 12, {}, "--clients 0"),
        (2, 0, {}, "at least one image"),
        (2, "much", {}, "write 500"),
        (2, 5, {}, "may send 2, fewer than one of each of the 3 classes of client 1; 6 is the le"),
        (2, "1kB", {}, "of 3 full float32 images each of 2 clients may send 1"),
        (2, 12, {"dirichlet": 0.0}, "--dirichlet 0"),
        (2, 12, {"timeout": -1.0}, "--timeout -1"),
        (2, 12, {"baselines": "herding"}, "herding"),
        (2, 12, {"local_epochs": 0}, "local.epochs"),
        (2, 12, {"ipc": 1}, "bandwidth"),
        (2, 12, {"slimming": "nosuch"}, "nosuch"),
        (2, 12, {"slimming": "random", "slim_iterations": 3}, "nothing is trained"),
        (2, 12, {**DM, "slim_lr": -1.0}, "--slim-lr -1"),
        (2, 12, {"rounding": "up"}, "down or paper"),
        (2, 12, {"method": "mtt"}, "--method mtt.*by itself: .*dm"),
        (5, 15, {"method": "dsa"}, "--method dsa.*telling classes apart.*fewer.*clients"),
        (5, 15, {"method": "dm"}, "--slimming slimmable.*fewer.*clients"),
        (
            2,
            12,
            {"method": "dd", "slimming": "random", "updates": None},
            "its steps are learnt",
        ),
        (2, 12, {"test_share": 0}, "no test images"),
        (2, 12, {"classes": 1}, "digits has one class"),
        (2, 12, {"nosuch": 1}, "nosuch"),
        (9, 200, {"dirichlet": 0.001}, "has no class of 2 images or more"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    clients: int, bandwidth: Any, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(BadRequest) as caught:
        quick(clients, bandwidth, output=tmp_path / "run", **options)
    assert re.search(message, caught.value.text), caught.value.text
    assert not list(tmp_path.rglob("*.safetensors"))


def test_bandwidths_are_images_or_bytes() -> None:
    assert parse_bandwidth("500 images") == parse_bandwidth("500")
    assert parse_bandwidth("1.5MB").whole((3, 32, 32)) == 122
    shape = (3, 32, 32)
    down, paper = (
        [parse_bandwidth("500").share(k, shape, way) for k in (1, 2, 3, 4, 5)]
        for way in ("down", "paper")
    )
    assert down == [500, 250, 166, 125, 100] and paper == [500, 250, 167, 125, 100]
    over = quick(2, 5, classes=2, rounding="paper").rounds[-1]
    assert over.images_per_class == (3, 3) and over.paper_bytes == 6 * 256


def test_the_command_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "federated digits --classes 5 --per-class 12 --clients 2 --bandwidth 12"
    words += " --method random --validation 0 --network convnet1:width=4 --updates 2 --repeats 1"
    words += f" --device cpu -o {tmp_path / 'run'}"
    assert attar_command([*words.split(), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    result = quick()
    assert [one["accuracies"] for one in told["rounds"]] == [
        list(one.accuracies) for one in result.rounds
    ]
    assert told["command"].startswith("attar federated digits --clients 2 --bandwidth 12")
    assert attar_command(words.split()) == 0
    assert "carried" in capsys.readouterr().out
    assert attar_command(["federated", "digits", "--clients", "2", "--bandwidth", "12"]) == 2


@pytest.mark.parametrize("kind", WRONG)
def test_a_client_that_is_refused_is_named_and_the_round_goes_on(kind: str, tmp_path: Path) -> None:
    wrong, message = WRONG[kind]
    result = with_wrong(wrong, tmp_path)
    last = result.rounds[-1]
    assert [one.client for one in last.refused] == [2]
    why = last.refused[0].why
    assert re.search(message, why), why
    assert "/" not in why.replace("B/", "") and len(last.sets) == 1
    assert last.accuracies and len(last.classes) == len(result.rounds[0].classes)
    assert "client 2 was left out" in (tmp_path / "federated.html").read_text()


def test_the_example_runs(tmp_path: Path) -> None:
    example = Path(__file__).parent.parent / "examples" / "federated_bytes.py"
    assert len(example.read_text().splitlines()) <= 60
    words = [sys.executable, str(example), "digits", "2", "20", "random", str(tmp_path), "2"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].startswith("coded")
