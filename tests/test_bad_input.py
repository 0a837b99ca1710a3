"""What a slip of the pen at the command line leads to: status 2, help, and no file."""

from pathlib import Path

import pytest

from attar.cli import run
from attar.errors import BadRequest
from attar.networks import build
from attar.rng import Key


def said(
    capsys: pytest.CaptureFixture[str], folder: Path, words: tuple[str, ...], source: str = "digits"
) -> str:
    """Return what `attar condense` says on standard error, after all else is checked."""
    output = folder / "set.safetensors"
    try:
        status = run(["condense", source, *words, "-o", str(output)])
    except SystemExit as ended:
        status = ended.code
    shown = capsys.readouterr()
    assert status == 2 and not shown.out
    assert not list(folder.iterdir())
    # the parser's own messages are drawn in a box
    return " ".join(shown.err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--method", "lodmm"), ("method 'lodmm'", "did you mean 'lodm'", "There is: best")),
        (("--rank", "-1"), ("--rank -1", "images of 8×8 have ranks 1 to 8")),
        (("--rank", "0"), ("--rank 0", "ranks 1 to 8")),
        (("--rank", "9"), ("--rank 9", "ranks 1 to 8")),
        (
            ("--network", "convnet5"),
            ("network convnet5", "8×8", "convnet3 is the deepest that works", "28×28 or more"),
        ),
        (("--network", "convent3"), ("network 'convent3'", "did you mean 'convnet3'")),
        (
            ("--network", "convnet3:pooling=averag"),
            ("option pooling 'averag'", "did you mean 'average'", "average, max, none"),
        ),
        (
            ("--network", "convnet3:widht=64"),
            ("network option 'widht'", "did you mean 'width'", "activation, norm, pooling, width"),
        ),
        (("--network", "own:Net-01234567"), ("'own:Net-01234567'", "from Python", "convnet3")),
        (("--optimiser", "adm"), ("--optimiser 'adm'", "did you mean 'adam'", "adam, lamb, sgd")),
        (("--init", "rael"), ("--init 'rael'", "did you mean 'real'", "noise, real")),
        (("--schedule", "cosin"), ("--schedule 'cosin'", "did you mean 'cosine'", "linear")),
        (
            ("--precision", "bf16"),
            ("--precision 'bf16'", "did you mean 'bfloat16'", "auto, bfloat16, float32"),
        ),
        (("--compile", "onn"), ("--compile 'onn'", "did you mean 'on'", "auto, off, on")),
        (("--storage", "flot16"), ("--storage 'flot16'", "did you mean 'float16'", "bfloat16")),
        (("--zca", "mt"), ("--zca 'mt'", "did you mean 'mtt'", "frepo, kip, mtt, none, rtp")),
        (("--count", "papr"), ("--count 'papr'", "'paper' or 'all'")),
        (("--card", "dsa"), ("card 'dsa'", "did you mean 'dsa-1000'", "dc-1000, dc-300")),
        (
            ("--set", "batch_rael=4"),
            ("(--set)", "'batch_rael'", "did you mean 'batch_real'", "augment, batch, batch_real"),
        ),
        (("--set", "batch_real=many"), ("--set batch_real=many", "a whole number")),
        (("--set", "batch_real=0"), ("--set batch_real=0", "at least one")),
        (("--set", "augment=colr"), ("augmentation 'colr'", "did you mean 'color'", "cutout")),
        (("--minutes", "0"), ("--minutes 0", "more than 0")),
        (("--minutes", "-1"), ("--minutes -1", "more than 0")),
        (("--iterations", "-1"), ("--iterations -1", "0 or more")),
        (("--ipc", "0"), ("--ipc 0", "at least 1")),
        (("--ipc", "1.5"), ("--ipc", "'1.5'")),
        (("--ipc", "ten"), ("--ipc", "'ten'")),
        (("--lr", "fast"), ("--lr", "'fast'")),
        (("--lr", "0"), ("--lr 0", "a positive number")),
        (
            ("--bytes", "10", "--method", "lodm"),
            ("10 bytes", "one takes 1280 bytes", "Raise --ipc or --bytes"),
        ),
        (("--device", "gpu"), ("--device 'gpu'", "auto, cpu, cuda, cuda:N or mps")),
        (("--chunk", "0"), ("--chunk 0", "at least one")),
        (("--itertions", "5"), ("--itertions", "Perhaps you meant", "--iterations")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value[0], str) else "",
)
def test_a_slip_is_refused_with_what_was_meant(
    words: tuple[str, ...],
    parts: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = said(capsys, tmp_path, words)
    for part in parts:
        assert part in found


def test_an_unknown_source_is_told_the_near_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = said(capsys, tmp_path, (), "digit")
    assert "'digit'" in found and "'digits'" in found


@pytest.mark.parametrize(
    ("channels", "depth", "side"), [(3, 5, 32), (1, 5, 28), (1, 3, 4), (3, 1, 2)]
)
def test_the_smallest_size_that_is_told_works(channels: int, depth: int, side: int) -> None:
    name = f"convnet{depth}:width=8"
    build(name, channels, (side, side + 1), 3).draw(Key(0))
    with pytest.raises(BadRequest) as caught:
        build(name, channels, (side - 1, side + 1), 3)
    assert f"convnet{depth} works on {side}×{side} or more" in str(caught.value)
