"""Files that prove themselves: a changed bit is told, wherever it is read."""

import json
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from attar.artefact.artefact import Artefact
from attar.artefact.loading import load
from attar.artefact.snapshots import Snapshots, load_snapshots
from attar.checksums import BLOCK_BYTES, BLOCKS_KEY, SEAL_KEY
from attar.cli import run as attar
from attar.condensing import checkpoint
from attar.condensing.checkpoint import Progress
from attar.condensing.engine import Run
from attar.errors import ArtefactError
from attar.experts import ExpertStore, train_experts
from attar.experts.header import read_header as read_store_header
from attar.experts.store import path_of
from attar.stored import open_stored
from attar.synthetic import OrderedSVD, Pixels
from attar.tensors import read_header, read_tensors, save_tensors
from attar.testing.counterparts import NETWORK_OF
from catalogue import (
    NETWORK,
    OBJECTIVES,
    PARAMETRIZATIONS,
    tiny_data,
    tiny_problem,
    tiny_run,
)
from forging import forged, make_version_1, parts_of
from test_partial import make

DAMAGED = r"is truncated or damaged \(checksum of {}\)"


def flips(path: Path, places: Iterator[int] | range) -> Iterator[int]:
    """Flip one bit of a file at each place in turn; afterwards it is as it was."""
    whole = path.read_bytes()
    for place in places:
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        yield place
    path.write_bytes(whole)


def begin_of(path: Path) -> int:
    """Bytes before the tensors."""
    return 8 + struct.unpack("<Q", path.read_bytes()[:8])[0]


# the file


def test_a_file_is_an_ordinary_one_of_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensors = {
        "half": torch.randn(3, 5).half(),
        "flags": torch.tensor([True, False, True]),
        "none": torch.zeros(0, 4),
        "one": torch.tensor(2.0).double(),
        "rows": torch.randn(1000, 7),
        "whole": torch.arange(5),
    }
    save_tensors(path, tensors, {"x": "é"})
    with safe_open(path, "pt") as file:
        assert file.metadata().keys() == {"attar", SEAL_KEY, BLOCKS_KEY}
        assert set(file.keys()) == set(tensors)
        for name, tensor in tensors.items():
            assert torch.equal(file.get_tensor(name), tensor)
    # each tensor begins where its type may
    _, table, _ = parts_of(path.read_bytes())
    begin = begin_of(path)
    assert begin % 8 == 0
    for name, tensor in tensors.items():
        assert (begin + table[name]["data_offsets"][0]) % tensor.dtype.itemsize == 0


def test_sums_take_little_of_a_large_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"a": torch.zeros(2**20)}, {})
    blocks = json.loads(parts_of(path.read_bytes())[0][BLOCKS_KEY])
    rows, sums = blocks["a"]
    assert rows * 4 == BLOCK_BYTES and len(sums) == 8 * 1024
    assert begin_of(path) < 0.003 * path.stat().st_size


@pytest.mark.parametrize("shape", [(7, 3), (1000, 1), (2, 3000), (1,), (0, 3), ()], ids=str)
def test_any_changed_bit_is_told(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"a": torch.randn(shape), "b": torch.ones(2)}, {"version": 2})
    for _ in flips(path, range(0, path.stat().st_size, 17)):
        with pytest.raises(ArtefactError):
            read_tensors(path)
    assert read_tensors(path)["a"].shape == shape


def test_the_header_alone_is_checked_without_the_tensors(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"a": torch.randn(9)}, {"version": 2, "name": "bee"})
    begin = begin_of(path)
    for _ in flips(path, range(begin)):
        with pytest.raises(ArtefactError):
            read_header(path)
    for _ in flips(path, range(begin, path.stat().st_size)):
        assert read_header(path)["name"] == "bee"
        with pytest.raises(ArtefactError, match=DAMAGED.format("a")):
            read_tensors(path)


def test_rows_are_checked_with_the_rest_of_their_blocks(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    # 8 rows are a block
    tensor = torch.randn(100, 128)
    save_tensors(path, {"a": tensor}, {"version": 2})
    begin = begin_of(path)
    wanted = [range(3, 5), range(9, 10), range(30, 50)]
    rows = torch.cat([tensor[one.start : one.stop] for one in wanted])
    read = {*range(16), *range(24, 56)}
    for place in flips(path, range(begin, path.stat().st_size, 256)):
        with open_stored(path) as stored:
            if (place - begin) // 512 in read:
                with pytest.raises(ArtefactError, match=DAMAGED.format("a")):
                    stored.rows("a", wanted)
            else:
                assert torch.equal(stored.rows("a", wanted), rows)


def test_of_version_2_without_checksums_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for version, said in ((1, None), (2, "its checksums are missing"), (3, "its checksums")):
        save_tensors(path, {"a": torch.ones(2)}, {"version": version})
        metadata, table, payload = parts_of(path.read_bytes())
        text = json.dumps({"__metadata__": {"attar": metadata["attar"]}, **table}).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + payload)
        if said is None:
            assert read_tensors(path)["a"].tolist() == [1, 1]
            continue
        with pytest.raises(ArtefactError, match=said):
            read_tensors(path)


def test_a_checksum_that_is_there_counts_whatever_the_version_says(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"a": torch.ones(2)}, {"version": 1})
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(ArtefactError, match=DAMAGED.format("a")):
        read_tensors(path)
    # one of the two alone is none
    for left in (SEAL_KEY, BLOCKS_KEY):
        save_tensors(path, {"a": torch.ones(2)}, {"version": 1})
        metadata, table, payload = parts_of(path.read_bytes())
        some = {"attar": metadata["attar"], left: metadata[left]}
        text = json.dumps({"__metadata__": some, **table}).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + payload)
        with pytest.raises(ArtefactError, match=DAMAGED.format("its header")):
            read_tensors(path)


@pytest.mark.parametrize(
    "sums",
    [
        "",
        "[]",
        "{}",
        '{"a":[1,"00000000"],"b":[1,""]}',
        '{"a":[0,""]}',
        '{"a":[1,"xx"]}',
        '{"a":[1024,""]}',
        '{"a":[1024]}',
        '{"a":{"rows":1024}}',
        '{"a":[1024,"00000000"]}',
        '{"a":[1024,"00000000"],"a":[1024,"00000000"]}',
    ],
)
def test_sums_that_are_none_are_damage(tmp_path: Path, sums: str) -> None:
    from attar.checksums import text_of

    path = tmp_path / "a.safetensors"
    save_tensors(path, {"a": torch.ones(2)}, {"version": 2})
    metadata, table, payload = parts_of(path.read_bytes())
    text = text_of({"attar": metadata["attar"], BLOCKS_KEY: sums}, table)
    path.write_bytes(struct.pack("<Q", len(text)) + text + payload)
    with pytest.raises(ArtefactError, match="is truncated or damaged"):
        read_tensors(path)


def test_a_doubled_key_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"a": torch.ones(2)}, {"version": 2})
    metadata, table, payload = parts_of(path.read_bytes())
    metadata["attar"] = '{"version": 2, "seed": 0, "seed": 1}'
    path.write_bytes(forged(metadata, table, payload))
    with pytest.raises(ArtefactError, match="its header: it has the key 'seed' twice"):
        read_header(path)
    row = json.dumps(table["a"])
    text = f'{{"__metadata__":{{"attar":"{{}}"}},"a":{row},"a":{row}}}'.encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + payload)
    with pytest.raises(ArtefactError, match="its header: it has the key 'a' twice"):
        read_tensors(path)


# artefacts and snapshots


def test_flipped_artefacts_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    make(OrderedSVD(), zca="mtt").save(path)
    for _ in flips(path, range(0, path.stat().st_size, 31)):
        with pytest.raises(ArtefactError):
            load(path)
    assert load(path).checked


def test_a_part_is_checked_and_what_is_not_read_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    make(Pixels(), count=50, shape=(2, 12, 12), nested=True, labels=False).save(path)
    begin, size = begin_of(path), 2 * 12 * 12 * 4
    whole = load(path, ipc=1).images
    for row in flips(path, range(begin, path.stat().st_size, size)):
        # blocks of four images, from each class its first one
        if (row - begin) // size // 4 in (0, 12, 25):
            with pytest.raises(ArtefactError, match=DAMAGED.format("images.values")):
                load(path, ipc=1)
        else:
            assert torch.equal(load(path, ipc=1).images, whole)


def test_files_of_version_1_load_and_are_told_as_unchecked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.safetensors"
    made = make(OrderedSVD(), zca="mtt", labels=True)
    made.save(path)
    assert load(path, 2).checked
    assert attar(["show", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["checked"] is True
    make_version_1(path)
    for ipc in (None, 2):
        found = load(path, ipc)
        assert not found.checked and found.header.version == 1
    assert torch.equal(load(path).images, made.images)
    assert attar(["show", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["checked"] is False
    assert attar(["show", str(path)]) == 0
    assert "unchecked: of an older Attar" in " ".join(capsys.readouterr().out.split())
    # saved again, it has checksums
    load(path).save(path)
    assert load(path).checked and load(path).header == made.header


def kept_snapshots(path: Path) -> Path:
    kept = Snapshots(path, (0, 1))
    for step in (0, 1):
        made = make(Pixels(), zca="mtt", step=step)
        kept.add(Artefact(made.header, made.synthetic, made.preprocessing), 1.0)
    return path


def test_flipped_snapshots_are_refused_with_what_to_do(tmp_path: Path) -> None:
    path = kept_snapshots(tmp_path / "a.snapshots.safetensors")
    for _ in flips(path, range(0, path.stat().st_size, 47)):
        with pytest.raises(ArtefactError, match="move it away, or start the run again with"):
            load_snapshots(path)
    assert [one.checked for one in load_snapshots(path)] == [True, True]
    make_version_1(path)
    assert [one.checked for one in load_snapshots(path)] == [False, False]


# checkpoints

IDENTITY = {"method": "lodm", "seed": 0}


def fresh(objective: str = "gradient") -> Run:
    form = PARAMETRIZATIONS["hallucinated"] if objective == "contrast" else None
    problem = tiny_problem(network=NETWORK_OF.get(objective, NETWORK))
    return tiny_run(OBJECTIVES[objective], problem, form, steps=4)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, run = tmp_path_factory.mktemp("kept") / "a.checkpoint.safetensors", fresh()
    for _ in range(2):
        run.advance()
    best = {name: tensor.clone() for name, tensor in run.iterate.state_dict().items()}
    checkpoint.save(path, run, Progress(3.0, 1, 1, 50.0, 40.0, best), IDENTITY)
    return path


@pytest.fixture
def saved(kept: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copy(kept, tmp_path))


def test_flipped_checkpoints_never_resume(saved: Path) -> None:
    run = fresh()
    for _ in flips(saved, range(0, saved.stat().st_size, 29)):
        with pytest.raises(ArtefactError, match="--overwrite starts again"):
            checkpoint.restore(saved, run, IDENTITY)
    found = checkpoint.restore(saved, run, IDENTITY)
    assert run.step == 2 and found.seconds == 3.0 and not found.best_learned


def test_a_checkpoint_of_version_1_goes_on_and_is_told_as_unchecked(saved: Path) -> None:
    make_version_1(saved)
    one, other = fresh(), fresh()
    for _ in range(3):
        one.advance()
    with pytest.warns(UserWarning, match="has no checksums, so damage cannot be noticed"):
        checkpoint.restore(saved, other, IDENTITY)
    other.advance()
    for name, tensor in one.synthetic.state_dict().items():
        assert torch.equal(tensor, other.synthetic.state_dict()[name])


def edited(path: Path, edit: Callable[[dict[str, Any], dict[str, Tensor]], Any]) -> None:
    header, tensors = read_header(path), read_tensors(path)
    edit(header, tensors)
    save_tensors(path, tensors, header)


ODD: dict[str, Callable[[dict[str, Any], dict[str, Tensor]], Any]] = {
    "no identity": lambda h, t: h.pop("identity"),
    "identity no object": lambda h, t: h.update(identity=[]),
    "no rest": lambda h, t: h.pop("rest"),
    "rest a list": lambda h, t: h.update(rest=[1]),
    "no step": lambda h, t: h["rest"].pop("step"),
    "step a text": lambda h, t: h["rest"].update(step="2"),
    "step negative": lambda h, t: h["rest"].update(step=-1),
    "seconds a text": lambda h, t: h.update(seconds="soon"),
    "seconds negative": lambda h, t: h.update(seconds=-1.0),
    "validations true": lambda h, t: h.update(validations_done=True),
    "no accuracy": lambda h, t: h.pop("best_accuracy"),
    "state a number": lambda h, t: h["rest"].update(state=3),
    "outer a text": lambda h, t: h["rest"]["state"].update(outer="1"),
    "a tensor under a number": lambda h, t: h["rest"]["state"].update(network=1),
    "optimisers a list": lambda h, t: h["rest"].update(optimisers=[]),
    "no images": lambda h, t: t.pop("synthetic.images.values"),
    "images of another shape": lambda h, t: t.update({"synthetic.images.values": torch.ones(3)}),
    "images of another type": lambda h, t: t.update(
        {"synthetic.images.values": t["synthetic.images.values"].double()}
    ),
    "images no numbers": lambda h, t: t["synthetic.images.values"].fill_(float("nan")),
    "more images": lambda h, t: t.update({"synthetic.images.more": torch.ones(3)}),
    "a best of another shape": lambda h, t: t.update({"best/images.values": torch.ones(3)}),
    "a momentum of another shape": lambda h, t: t.update(
        {"optimisers.images.0.momentum_buffer": torch.ones(99)}
    ),
    "a role without a number": lambda h, t: t.update(
        {"optimisers.images.first.momentum_buffer": torch.ones(())}
    ),
    "a network without a layer": lambda h, t: t.pop(
        next(name for name in t if name.startswith("state.network"))
    ),
    "a name of dots": lambda h, t: t.update({"...": torch.ones(())}),
    "another version": lambda h, t: h.update(version=3),
    "a version that is no number": lambda h, t: h.update(version=True),
}


@pytest.mark.parametrize("how", ODD)
def test_odd_checkpoints_are_refused_though_their_checksums_are_right(
    saved: Path, how: str
) -> None:
    edited(saved, ODD[how])
    with pytest.raises(ArtefactError, match="--overwrite starts again"):
        checkpoint.restore(saved, fresh(), IDENTITY)


@pytest.mark.parametrize("objective", sorted(OBJECTIVES.keys() - {"parameters"}))
def test_whole_checkpoints_of_every_objective_go_on(tmp_path: Path, objective: str) -> None:
    path, run, other = tmp_path / "a", fresh(objective), fresh(objective)
    for _ in range(3):
        run.advance()
    checkpoint.save(path, run, Progress(), IDENTITY)
    checkpoint.restore(path, other, IDENTITY)
    assert run.advance() == other.advance()


# experts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    train_experts(tiny_data(), output=tmp_path / "e", count=2, epochs=2, network=NETWORK, batch=16)
    return tmp_path / "e"


def test_a_segment_is_checked_and_nothing_beside_it(folder: Path) -> None:
    store = ExpertStore(folder, read_store_header(folder), [0, 1])
    path, whole = path_of(folder, 1), store.segment(1, 0, 2)
    begin = begin_of(path)
    assert store.checked
    for _ in flips(path, range(0, begin, 9)):
        with pytest.raises(ArtefactError, match=r"remove it, and run 'attar experts' again"):
            store.segment(1, 0, 1)
    # a row is below 4 KiB here, so two are a block, and the third is another
    row = 4 * store.values
    for place in flips(path, range(begin, path.stat().st_size, 97)):
        for start, some in ((0, range(2)), (2, range(2, 3))):
            if (place - begin) // row in some:
                with pytest.raises(ArtefactError, match=r"checksum of snapshots\); remove it"):
                    store.segment(1, start, 0)
            else:
                assert torch.equal(store.segment(1, start, 0), whole[start : start + 1])


def test_the_file_of_another_expert_is_refused(folder: Path) -> None:
    shutil.copy(path_of(folder, 0), path_of(folder, 1))
    with pytest.raises(ArtefactError, match="is the file of another expert; remove it"):
        ExpertStore(folder, read_store_header(folder), [0, 1]).check()


def test_a_changed_header_of_a_store_is_told(folder: Path) -> None:
    path = folder / "experts.json"
    for _ in flips(path, range(path.stat().st_size)):
        try:
            found = read_store_header(folder)
        except ArtefactError as error:
            assert str(path) in str(error)
        else:  # a blank that has become another
            assert found.digest == read_store_header(folder).digest
    document = json.loads(path.read_text(encoding="utf-8"))
    for change in ({"epochs": 3}, {"provenance": {}}, {"checksum": None}):
        path.write_text(json.dumps(document | change), encoding="utf-8")
        with pytest.raises(ArtefactError, match=r"experts.json is damaged \(its checksum\)"):
            read_store_header(folder)


def test_a_store_of_version_1_is_read_and_told_as_unchecked(folder: Path) -> None:
    path, settings = folder / "experts.json", {"epochs": 2, "network": NETWORK, "batch": 16}
    whole = ExpertStore(folder, read_store_header(folder), [0, 1]).segment(1, 0, 2)
    document = json.loads(path.read_text(encoding="utf-8"))
    del document["checksum"]
    path.write_text(json.dumps(document | {"version": 1}), encoding="utf-8")
    digest = read_store_header(folder).digest
    for expert in (0, 1):
        one = path_of(folder, expert)
        edited(one, lambda header, tensors: header.update(store=digest))
        make_version_1(one)
    store = ExpertStore(folder, read_store_header(folder), [0, 1])
    assert torch.equal(store.segment(1, 0, 2), whole) and not store.checked
    # it goes on; what is added has checksums
    more = train_experts(tiny_data(), output=folder, count=3, **settings)
    assert more.count == 3 and not more.checked
    assert ExpertStore(folder, more.header, [2]).checked
    assert "checksum" not in json.loads(path.read_text(encoding="utf-8"))
