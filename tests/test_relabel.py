"""Soft labels for a set that is there: its images stay, in every form and storage."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import attar
from attar.artefact.artefact import Artefact
from attar.cli import run
from attar.condensing.paths import Paths
from attar.errors import ArtefactError, BadRequest, Interrupted
from attar.networks import build
from attar.objectives.ridge import ridge_solution
from attar.rng import Key
from attar.tensors import read_tensors
from attar.testing.counterparts import all_forms
from catalogue import tiny_data

SMALL: dict[str, Any] = {
    "device": "cpu",
    "torch_compile": "off",
    "network": "convnet2:width=8",
}
FAST = {**SMALL, "epochs": 2}
DATA = tiny_data(3)
FORMS = all_forms()


def made(**options: Any) -> Artefact:
    given = {"method": "dm", "synthetic_per_class": 4, "iterations": 1, "validation": 0}
    return attar.condense(DATA, **SMALL, **(given | options))


def kept(artefact: Artefact, path: Path, *, labels: bool = False) -> dict[str, Tensor]:
    """Return the tensors of the file of an artefact that are, or are not, of its labels."""
    artefact.save(path)
    found = read_tensors(path)
    return {name: one for name, one in found.items() if name.startswith("labels.") == labels}


def assert_same_bytes(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype
        assert torch.equal(tensor.view(torch.uint8), other[name].view(torch.uint8)), name


@pytest.mark.parametrize("form", FORMS)
def test_images_keep_their_bytes_in_every_form(form: str, tmp_path: Path) -> None:
    before = made(form=FORMS[form], init="noise")
    images = kept(before, tmp_path / "before.safetensors")
    after = attar.relabel(before, DATA, **FAST)
    assert_same_bytes(kept(after, tmp_path / "after.safetensors"), images)
    read = attar.load(tmp_path / "after.safetensors")
    assert torch.equal(read.images, before.images)
    assert torch.equal(read.labels, after.labels)
    assert read.labels.shape == (12, 3) and read.header.learned_labels
    if "ordered" not in form:
        torch.testing.assert_close(read.labels.sum(dim=1), torch.ones(12), rtol=0, atol=2e-3)
    assert not before.header.learned_labels


STORED = ["float32", "float16", "float8", "int8", "int4", "png", "jpeg:quality=60"]


@pytest.mark.parametrize("labels", ["float32", "float16", "int8", "int4"])
@pytest.mark.parametrize("storage", STORED)
def test_images_keep_their_bytes_in_every_storage(
    storage: str, labels: str, tmp_path: Path
) -> None:
    before = made(storage=storage, method="random", iterations=None)
    path = tmp_path / "before.safetensors"
    images = kept(before, path)
    after = attar.relabel(path, DATA, labels=labels, output=tmp_path / "after.safetensors", **FAST)
    read = attar.load(tmp_path / "after.safetensors")
    assert_same_bytes(kept(read, tmp_path / "again.safetensors"), images)
    assert torch.equal(read.images, before.images) and torch.equal(read.labels, after.labels)
    # what is stated is what is stored
    own = kept(read, tmp_path / "again.safetensors", labels=True)
    added = sum(one.numel() * one.element_size() for one in own.values())
    assert added == read.nbytes - before.nbytes > 0
    told = [one for one in read.ledger.entries if one.name.startswith("labels.")]
    assert sum(one.bytes for one in told) == added
    assert {(one.dtype, one.paper, one.why) for one in told} == {(labels, False, "learned labels")}
    assert read.totals.paper == before.totals.paper


def test_labels_are_the_mean_of_what_networks_say() -> None:
    before = made(method="random", iterations=None)
    one, two, both = (
        attar.relabel(before, DATA, labels="float32", **FAST, **given).labels
        for given in ({}, {"teachers": 2}, {"seed": 1})
    )
    assert torch.equal(one, attar.relabel(before, DATA, labels="float32", **FAST).labels)
    assert not torch.allclose(one, two) and not torch.allclose(one, both)
    assert bool((one >= 0).all())


def test_labels_that_are_there_are_replaced() -> None:
    before = made(method="taught", iterations=None, storage="float32:labels=int8")
    first = attar.relabel(before, DATA, labels="float32", **FAST)
    again = attar.relabel(first, DATA, labels="float32", **FAST)
    assert torch.equal(first.labels, again.labels) and first.nbytes == again.nbytes
    assert first.header.storage == "float32"
    assert torch.equal(first.images, before.images)


def test_under_squared_error_labels_are_centred() -> None:
    before = made(method="frepo", zca="none", settings={"pool": 1, "batch_real": 16})
    assert before.header.settings["card"] == "frepo"
    labels = attar.relabel(before, DATA, labels="float32", **FAST).labels
    torch.testing.assert_close(labels.sum(dim=1), torch.zeros(12), rtol=0, atol=1e-5)


def test_a_limit_in_bytes_holds_for_the_whole_set(tmp_path: Path) -> None:
    before = made(method="random", iterations=None)
    fits = before.nbytes + 2 * 36
    after = attar.relabel(before, DATA, max_bytes=fits, **FAST)
    assert after.nbytes == fits and after.totals.limit == fits and not after.totals.unused
    with pytest.raises(BadRequest, match=rf"without labels .* as float16 72 B; give {fits}, or"):
        attar.relabel(before, None, max_bytes=fits - 1, **FAST)


def test_what_a_set_could_take_before_is_told_no_more_where_labels_are_beyond_it(
    tmp_path: Path,
) -> None:
    exact = made(method="random", iterations=None).nbytes
    full = made(method="random", iterations=None, synthetic_per_class=None, max_bytes=exact)
    after = attar.relabel(full, DATA, output=tmp_path / "a.safetensors", **FAST)
    assert full.totals.limit == exact and after.totals.limit is None
    # a file beyond its own allowance would not load
    assert torch.equal(attar.load(tmp_path / "a.safetensors").images, full.images)


def test_a_nested_set_is_read_at_a_smaller_budget_with_its_labels(tmp_path: Path) -> None:
    before = made(nested=True, synthetic_per_class=None, ipc=4)
    after = attar.relabel(before, DATA, output=tmp_path / "a.safetensors", **FAST)
    part = attar.load(tmp_path / "a.safetensors", ipc=2)
    assert torch.equal(part.labels, after.labels.view(3, 4, 3)[:, :2].flatten(0, 1))


@pytest.mark.parametrize("form", ["pixels", "ordered_svd", "tiled", "decoded", "addressed"])
def test_labels_by_regression_leave_images_too(form: str, tmp_path: Path) -> None:
    before = made(form=FORMS[form], init="noise")
    images = kept(before, tmp_path / "before.safetensors")
    given: dict[str, Any] = {"by": "regression", "iterations": 3, "labels": "float32", **SMALL}
    after = attar.relabel(before, DATA, **given)
    assert_same_bytes(kept(after, tmp_path / "after.safetensors"), images)
    assert after.header.settings["card"] == "frepo"
    assert torch.equal(after.labels, attar.relabel(before, DATA, **given).labels)
    assert not torch.allclose(after.labels, (torch.eye(3) - 1 / 3)[before.synthetic.class_of_row])


def test_a_regression_on_its_labels_tells_real_images_better() -> None:
    def loss(labels: Tensor) -> float:
        torch_data = DATA.take(torch.arange(len(DATA)))
        wanted = torch.eye(3)[DATA.labels] - 1 / 3
        found = 0.0
        for seed in range(8):
            net = build("convnet2:width=8", 3, (8, 8), 3).draw(Key(seed)).eval()
            with torch.no_grad():
                real, own = net.embed(torch_data), net.embed(before.images)
                found += float((real @ ridge_solution(own, labels, 1e-6) - wanted).square().mean())
        return found

    before = made(method="random", iterations=None)
    after = attar.relabel(before, DATA, by="regression", iterations=40, labels="float32", **SMALL)
    assert loss(after.labels) < loss((torch.eye(3) - 1 / 3)[before.synthetic.class_of_row])


@pytest.mark.parametrize(
    ("options", "data", "said"),
    [
        ({"teachers": 0}, DATA, "--teachers 0: at least one"),
        ({"epochs": 0}, DATA, "--epochs 0: at least one"),
        ({"by": "magic"}, DATA, "magic"),
        ({"by": "regression"}, DATA, "--epochs and --teachers are of --by networks"),
        ({"iterations": 3}, DATA, "--iterations 3: of --by regression"),
        ({"labels": "png"}, DATA, "unknown value of --labels 'png'.* There is: bfloat16, float16"),
        ({"labels": "int9"}, DATA, "int9"),
        ({"labels": "int4:rate=x"}, DATA, "^--labels rate=x: a number is needed"),
        ({"labels": "top:keep=0"}, DATA, "^--labels top:keep=0: at least 1 value"),
        ({"labels": "top:keep=9"}, DATA, "^--labels top:keep=9: a label has 3 .*or take float16,"),
        ({"max_bytes": "3 cows"}, DATA, "3 cows"),
        ({"output": "a.pt"}, DATA, "must end in .safetensors"),
        ({}, tiny_data(1), "the artefact holds pictures of 3×8×8.* or --resize 8"),
        ({}, tiny_data(3, (4, 4)), "the artefact's classes"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], data: Any, said: str) -> None:
    before = made(method="random", iterations=None)
    with pytest.raises(BadRequest, match=said):
        attar.relabel(before, data, **(FAST | options))


@pytest.mark.parametrize("given", [None, 3])
def test_what_is_no_set_is_refused(given: Any) -> None:
    with pytest.raises(BadRequest):
        attar.relabel(given, tiny_data(), **FAST)


def test_a_set_of_one_class_is_refused() -> None:
    one = tiny_data(3, (9,))
    before = attar.condense(one, method="random", synthetic_per_class=2, device="cpu")
    with pytest.raises(BadRequest, match="there is one class, 'a', and labels say which of"):
        attar.relabel(before, one, **FAST)


def test_files_that_are_there_stay(tmp_path: Path) -> None:
    before, path = made(method="random", iterations=None), tmp_path / "a.safetensors"
    before.save(path)
    with pytest.raises(BadRequest, match="that is the artefact to be relabelled"):
        attar.relabel(path, DATA, output=path, overwrite=True, **FAST)
    other = tmp_path / "b.safetensors"
    before.save(other)
    with pytest.raises(BadRequest, match="is already there"):
        attar.relabel(path, DATA, output=other, **FAST)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    attar.condense("digits", method="random", ipc=1, output=path, device="cpu")
    words = ["relabel", str(path), "-o", str(out), "--labels", "int8", "--epochs", "1"]
    assert run([*words, "--network", "convnet2:width=8"]) == 0
    said = capsys.readouterr()
    read = attar.load(out)
    added = read.nbytes - attar.load(path).nbytes
    assert f"b.safetensors: {added} B of int8 labels" in said.out
    told = read.header.provenance
    assert told["command"] == (
        "attar relabel a.safetensors --data digits --labels int8 --network convnet2:width=8 "
        "--epochs 1 -o b.safetensors"
    )
    assert told["relabelled"]["before"].startswith("attar condense digits")
    assert run(words[:2]) == 2
    assert "-o is missing" in capsys.readouterr().err


WAYS: dict[str, dict[str, Any]] = {
    "networks": {"teachers": 2, "epochs": 3},
    "regression": {"by": "regression", "iterations": 6},
}

KILLED = textwrap.dedent(
    """
    import json, os, signal, sys
    import torch
    import attar
    from catalogue import tiny_data

    torch.set_num_threads(1)
    folder, options, moments = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])

    def dies_at(moment):
        left = [moment]
        def watch(what, done, total):
            if what.startswith("updates"):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
        return watch

    for moment in moments:
        child = os.fork()
        if child == 0:
            attar.relabel(f"{folder}/set.safetensors", tiny_data(3), watch=dies_at(moment),
                          output=f"{folder}/killed.safetensors", resume=True,
                          checkpoint_seconds=0, **options)
            os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
    """
)


@pytest.mark.slow  # a stop by the user, below, goes on from the same checkpoint
@pytest.mark.parametrize("way", WAYS)
def test_a_relabelling_that_was_killed_goes_on_to_the_same_bytes(way: str, tmp_path: Path) -> None:
    given, path = SMALL | WAYS[way], tmp_path / "set.safetensors"
    made(method="random", iterations=None).save(path)
    whole = tmp_path / "whole.safetensors"
    attar.relabel(path, DATA, output=whole, **given)
    told: list[tuple[int, int]] = []
    attar.relabel(path, DATA, watch=lambda what, done, total: told.append((done, total)), **given)
    updates = len(told)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), json.dumps(given), "[2, 2, 1]"],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    killed = tmp_path / "killed.safetensors"
    assert not killed.exists() and (tmp_path / "killed.checkpoint.safetensors").exists()
    told.clear()
    attar.relabel(
        path,
        DATA,
        output=killed,
        resume=True,
        watch=lambda what, done, total: told.append((done, total)),
        **given,
    )
    assert 0 < len(told) < updates and told[-1][0] == told[-1][1]
    assert_same_bytes(read_tensors(killed), read_tensors(whole))
    assert not (tmp_path / "killed.checkpoint.safetensors").exists()
    # a complete one is read, and another one refused
    told.clear()
    again = attar.relabel(path, DATA, output=killed, resume=True, watch=_refuse, **given)
    assert torch.equal(again.labels, attar.load(whole).labels)
    with pytest.raises(BadRequest, match=r"--resume: .*another seed \(seed: 0 there, 1 asked for"):
        attar.relabel(path, DATA, output=killed, resume=True, seed=1, **given)


def _refuse(what: str, done: int, total: int) -> None:
    assert not what.startswith("updates")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.usefixtures("minding_ctrl_c")
def test_a_relabelling_that_is_interrupted_keeps_where_it_is(way: str, tmp_path: Path) -> None:
    before, given = made(method="random", iterations=None), SMALL | WAYS[way]
    output, told = tmp_path / "a.safetensors", list[int]()

    def interrupts(what: str, done: int, total: int) -> None:
        told.append(done)
        if len(told) == 3:
            signal.raise_signal(signal.SIGINT)

    options = {**given, "output": output}
    with pytest.raises(Interrupted, match=r"continue with --resume -o .*a\.safetensors"):
        attar.relabel(before, DATA, watch=interrupts, **options)
    assert not output.exists() and len(told) == 3
    with pytest.raises(BadRequest, match="an unfinished run is already there; --resume"):
        attar.relabel(before, DATA, **options)
    with pytest.raises(BadRequest, match="another labels"):
        attar.relabel(before, DATA, resume=True, labels="int8", **options)
    after = attar.relabel(before, DATA, resume=True, **options)
    assert torch.equal(after.labels, attar.relabel(before, DATA, **given).labels)


def test_what_cannot_be_resumed_is_refused(tmp_path: Path) -> None:
    before, output = made(method="random", iterations=None), tmp_path / "a.safetensors"
    with pytest.raises(BadRequest, match="--resume needs -o"):
        attar.relabel(before, DATA, resume=True, **FAST)
    before.save(output)
    with pytest.raises(BadRequest, match="does not tell what it was relabelled with"):
        attar.relabel(before, DATA, output=output, resume=True, **FAST)
    Paths(output).checkpoint.write_bytes(b"no checkpoint")
    with pytest.raises(ArtefactError, match="--overwrite starts again"):
        attar.relabel(before, DATA, output=output, resume=True, **FAST)
