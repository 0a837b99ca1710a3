import contextlib
import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import attar
from attar.cli import TRACEBACK, main, run
from attar.data.decoding import decode_parts
from attar.data.picture_files import Files
from attar.errors import AttarError, BadRequest, RunFailed
from attar.faults import NO_FOLDER, in_words

PROGRAM = [sys.executable, "-m", "attar"]


def failed(number: int, path: Path | None = None) -> OSError:
    return OSError(number, os.strerror(number), None if path is None else str(path))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes of three pictures, with names that ASCII lacks."""
    draw = np.random.default_rng(0)
    for label in ("日本", "猫"):
        (tmp_path / "img" / label).mkdir(parents=True)
        for number in range(3):
            pixels = draw.integers(0, 255, (8, 8), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "img" / label / f"{number}.png")
    return tmp_path / "img"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (failed(errno.EMFILE), "too many files are open; raise the limit"),
        (failed(errno.ENOMEM), "memory ran out; lower --chunk"),
        (failed(errno.EAGAIN), "the system starts no further thread or process"),
        (MemoryError(), "memory ran out; lower --chunk"),
        (RuntimeError("can't start new thread"), "the system starts no further thread"),
        # what torch 2.15 says, shortened
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8"), "memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to"), "the memory of the GPU ran out"),
        (failed(errno.ENOSPC, Path("a.txt")), "a.txt: No space left on device; free some space"),
        (failed(errno.EACCES, Path("a.txt")), "a.txt: Permission denied; give yourself the right"),
        (failed(errno.ENAMETOOLONG, Path("a" * 900)), "a" * 100 + "…"),
        (failed(errno.EIO, Path("a.txt")), "a.txt: Input/output error."),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "memory ran"),
    ],
)
def test_what_the_system_lacks_is_said_with_what_helps(error: Exception, words: str) -> None:
    said = in_words(error)
    assert said is not None and said.startswith(words) and said.endswith(".") and len(said) < 300


def test_other_errors_have_no_such_words() -> None:
    assert in_words(RuntimeError("shapes differ")) is None
    assert in_words(ValueError("can't start new thread")) is None


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM, errno.EACCES, errno.EIO])
def test_no_picture_is_blamed_for_the_system(
    number: int, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files(tuple(sorted(pictures.rglob("*.png"))))

    def stream(self: Files, index: int) -> Any:
        raise failed(number, self.paths[index])

    monkeypatch.setattr(Files, "stream", stream)
    with pytest.raises(AttarError) as caught:
        decode_parts([files], None)
    assert "remove" not in str(caught.value)
    assert isinstance(
        caught.value, RunFailed if number in (errno.EMFILE, errno.ENOMEM) else BadRequest
    )


def test_what_nobody_foresaw_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(arguments: object) -> Any:
        raise KeyError("shape")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("attar.cli.commands.parse", broken)
    assert run(["methods"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("attar: an error that was not foreseen (KeyError: 'shape'); ")
    assert told.count("\n") == 1
    kept = next(tmp_path.glob("attar-traceback-*.txt"))
    assert str(kept) in told and "KeyError" in kept.read_text()
    monkeypatch.setenv(TRACEBACK, "1")
    with pytest.raises(KeyError):
        run(["methods"])


@contextlib.contextmanager
def limited(what: int, value: int) -> Iterator[None]:
    before = resource.getrlimit(what)
    resource.setrlimit(what, (value, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


def test_a_disk_that_fills_costs_nothing_made_before(tmp_path: Path) -> None:
    # Python ignores SIGXFSZ, so that a file above the limit fails as on a full disk
    out = tmp_path / "set.safetensors"
    attar.condense("digits", method="random", ipc=1, per_class=20, output=out)
    before = out.read_bytes()
    with limited(resource.RLIMIT_FSIZE, 2000), pytest.raises(RunFailed, match="could not write"):
        attar.condense("digits", method="random", ipc=2, output=out, overwrite=True)
    assert out.read_bytes() == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["set.log.jsonl", "set.safetensors"]


SMALL = ("condense", "digits", "--method", "random", "--per-class", "20")


@pytest.mark.parametrize("words", [["methods"], ["--version"], ["--help"], ["sources", "--json"]])
def test_an_output_that_is_full_is_said(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*PROGRAM, *words], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("attar: standard output could not be written (No space left")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_goes_costs_no_set(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    out = tmp_path / "set.safetensors"
    command = [*PROGRAM, *SMALL, "-o", str(out)]
    done = subprocess.run(command, stdout=writer, stderr=writer)
    os.close(writer)
    assert done.returncode == 0
    assert attar.load(out).header.method == "random"


def test_a_closed_output_costs_no_set(tmp_path: Path) -> None:
    out = tmp_path / "set.safetensors"
    command = " ".join([*PROGRAM, *SMALL, "-o", str(out), ">&-", "2>&-"])
    assert subprocess.run(["sh", "-c", command]).returncode == 0
    assert out.exists()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_encoding_that_lacks_a_letter_costs_no_set(
    encoding: str, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "set.safetensors"
    command = [*PROGRAM, "condense", f"folder:{pictures}", "--method", "random", "-o", str(out)]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, capture_output=True, env=environment)
    assert done.returncode == 0 and b"\\u65e5" in done.stdout, done.stderr
    done = subprocess.run(
        [*PROGRAM, "show", str(out), "--json"], capture_output=True, env=environment
    )
    assert json.loads(done.stdout)["card"]["class_names"] == ["日本", "猫"]


def test_a_working_folder_that_was_removed(tmp_path: Path) -> None:
    code = "import os, sys; os.rmdir(os.getcwd()); from attar.cli import main; main(['sources'])"
    (tmp_path / "gone").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path / "gone"
    )
    assert done.returncode == 2 and done.stderr == f"attar: {NO_FOLDER}.\n"


@pytest.mark.parametrize("length", [230, 300, 5000])
def test_a_name_that_is_too_long_is_refused_first(length: int, tmp_path: Path) -> None:
    out = tmp_path / ("a" * length + ".safetensors")
    with pytest.raises(BadRequest, match="too long") as caught:
        attar.condense("nowhere", output=out)
    assert len(str(caught.value)) < 400


def test_the_longest_name_that_is_taken_carries_a_whole_run(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"its name is (\d+) bytes too long") as caught:
        attar.condense("nowhere", output=tmp_path / ("é" * 120 + ".safetensors"))
    over = int(str(caught.value).partition("its name is ")[2].split()[0])
    out = tmp_path / ("é" * (120 - -(-over // 2)) + ".safetensors")
    made = attar.condense(
        "digits",
        per_class=20,
        iterations=2,
        validation=0.1,
        snapshots=2,
        output=out,
        torch_compile="off",
    )
    attar.evaluate(out, repeats=1, epochs=1)
    assert made.header.step == 2 and out.exists()


@pytest.mark.parametrize(
    "ending",
    ["checkpoint.safetensors", "log.jsonl", "last.safetensors", "snapshots.safetensors"],
)
def test_a_folder_in_the_place_of_a_file_is_refused_first(ending: str, tmp_path: Path) -> None:
    (tmp_path / f"set.{ending}").mkdir()
    with pytest.raises(BadRequest, match=rf"set\.{ending}, which is written beside it, is a dir"):
        attar.condense("nowhere", output=tmp_path / "set.safetensors")


def test_a_folder_or_a_picture_without_the_right_to_read(pictures: Path) -> None:
    if os.geteuid() == 0:
        # nobody, until the end of the test: rights do not bind the superuser
        for one in (pictures.parent, *pictures.parents):
            if not one.stat().st_mode & 1:
                one.chmod(0o755)
    # what torch loads lately is loaded as who we are
    attar.load_source(f"folder:{pictures}")
    closed = pictures / "猫"
    with _as_nobody():
        closed_before = closed.stat().st_mode
    closed.chmod(0)
    try:
        with _as_nobody(), pytest.raises(BadRequest, match=r"猫 cannot be read .Permission denied"):
            attar.load_source(f"folder:{pictures}")
        closed.chmod(closed_before)
        (closed / "1.png").chmod(0)
        with _as_nobody(), pytest.raises(BadRequest, match=r"1\.png: Permission denied") as caught:
            attar.load_source(f"folder:{pictures}")
        assert "remove" not in str(caught.value)
    finally:
        closed.chmod(closed_before)


@contextlib.contextmanager
def _as_nobody() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_main_gives_the_streams_back() -> None:
    before = sys.stdout, sys.stderr
    with pytest.raises(SystemExit) as ended:
        main(["methods", "--json"])
    assert ended.value.code == 0 and (sys.stdout, sys.stderr) == before
