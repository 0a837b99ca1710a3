"""Pictures as people have them: bands, bits, pages, orientation, transparency.

What Pillow does with each is that of Pillow 13.0, tifffile 2026.3 and torchvision 0.29.
"""

import re
import struct
import sys
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, features
from torch.utils.data import Dataset

import attar
from attar.data import Splits, cache, from_dataset, load_source
from attar.data.opening import read_header
from attar.data.values import PLAIN
from attar.errors import BadRequest

RANDOM = np.random.default_rng(0)
Save = Callable[[Path, np.ndarray], None]


def deep(*shape: int, most: int = 4096) -> np.ndarray:
    return RANDOM.integers(0, most, shape).astype(np.uint16)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_16(path: Path, values: np.ndarray, *late: bytes) -> None:
    """Write a PNG of 16 bits, which Pillow cannot."""
    height, width, samples = values.shape
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    kind = {1: 0, 3: 2, 2: 4, 4: 6}[samples]
    start = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    body = start + chunk(b"IDAT", zlib.compress(lines)) + b"".join(late) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def tiff(**options: Any) -> Save:
    return lambda path, values: tifffile.imwrite(path, values, **options)


def set_of(
    root: Path, save: Save, *shape: int, make: Callable[..., np.ndarray] = deep, ending: str = "tif"
) -> dict[str, np.ndarray]:
    """Write two classes of six pictures; return their values."""
    written = {}
    for name in ("ant", "bee"):
        (root / name).mkdir(parents=True)
        for index in range(6):
            written[f"{name}{index}"] = values = make(*shape)
            save(root / name / f"{index}.{ending}", values)
    return written


def read(root: Path, **options: Any) -> Splits:
    return load_source(f"folder:{root}", **options)


def all_images(splits: Splits) -> list[np.ndarray]:
    return [*splits.train.images.numpy(), *splits.test.images.numpy()]


def assert_same(splits: Splits, written: dict[str, np.ndarray], most: float) -> None:
    """Assert that the images are those written, H×W×C, as shares of ``most``."""
    wanted = sorted(np.ravel(np.moveaxis(v, -1, 0)).tolist() for v in written.values())
    found = sorted(
        np.ravel(np.rint(image * most)).astype(int).tolist() for image in splits_of(splits)
    )
    assert found == wanted


def splits_of(splits: Splits) -> list[np.ndarray]:
    assert splits.train.images.dtype == torch.float32
    return [image.astype(np.float64) for image in all_images(splits)]


# any depth and number of bands


@pytest.mark.parametrize(
    ("save", "shape", "ending"),
    [
        (png_16, (4, 6, 1), "png"),
        (png_16, (4, 6, 3), "png"),
        (tiff(photometric="rgb"), (4, 6, 3), "tif"),
        (tiff(photometric="rgb", compression="zlib"), (4, 6, 3), "TIFF"),
        (tiff(photometric="minisblack", planarconfig="contig"), (4, 6, 13), "tif"),
        (tiff(photometric="rgb", extrasamples=["unspecified"]), (4, 6, 4), "tif"),
    ],
)
def test_16_bits_are_read_with_a_range(
    tmp_path: Path, save: Save, shape: tuple[int, ...], ending: str
) -> None:
    written = set_of(tmp_path, save, *shape, ending=ending)
    splits = read(tmp_path, value_range=(0, 4095))
    assert splits.train.shape == (shape[2], 4, 6)
    assert_same(splits, written, 4095)
    with pytest.raises(BadRequest, match=r"more than 8 bits a channel \(16 bits, .*--range 0:4095"):
        read(tmp_path)
    with pytest.raises(BadRequest, match=r"values run from .*, outside --range 0:1000"):
        read(tmp_path, value_range=(0, 1000))


def test_bands_that_lie_one_after_the_other(tmp_path: Path) -> None:
    """As GDAL writes them: planes and not pixels."""
    save = tiff(photometric="minisblack", planarconfig="separate")
    written = set_of(tmp_path, lambda p, v: save(p, np.moveaxis(v, -1, 0)), 5, 7, 13)
    assert_same(read(tmp_path, value_range="0:4095"), written, 4095)


@pytest.mark.parametrize("bands", [2, 4, 13])
def test_bands_of_8_bits_need_no_range(tmp_path: Path, bands: int) -> None:
    """Pillow keeps the first of 2, the first three of 4 (the last is infrared), none of 13."""
    extra = {2: 1, 4: 1, 13: 12}[bands]
    save = tiff(
        photometric="rgb" if bands == 4 else "minisblack",
        planarconfig="contig",
        extrasamples=["unspecified"] * extra,
    )
    written = set_of(tmp_path, save, 4, 6, bands, make=bytes_of)
    splits = read(tmp_path)
    assert splits.train.images.dtype == torch.uint8
    assert splits.train.shape == (bands, 4, 6)
    found = sorted(image.ravel().tolist() for image in all_images(splits))
    assert found == sorted(np.moveaxis(v, -1, 0).ravel().tolist() for v in written.values())
    assert f"{bands} channels" in splits.note
    assert read(tmp_path, resize=3).train.shape == (bands, 3, 3)


def bytes_of(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


def test_floats_need_a_range_outside_0_to_1(tmp_path: Path) -> None:
    def floats(*shape: int) -> np.ndarray:
        return RANDOM.random(shape, dtype=np.float32) * 2 - 1

    written = set_of(tmp_path, tiff(), 4, 6, make=floats)
    splits = read(tmp_path, value_range=(-1, 1))
    found = sorted((image * 2 - 1).sum().item() for image in all_images(splits))
    assert found == pytest.approx(sorted(v.sum().item() for v in written.values()), abs=1e-4)
    with pytest.raises(BadRequest, match=r"floating images run from .* --range -1:1"):
        read(tmp_path)
    set_of(tmp_path / "unit", tiff(), 4, 6, make=lambda *s: RANDOM.random(s, dtype=np.float32))
    assert read(tmp_path / "unit").train.images.dtype == torch.float32


def test_white_that_is_zero_is_white(tmp_path: Path) -> None:
    written = set_of(tmp_path, tiff(photometric="miniswhite"), 4, 6)
    found = sorted(image.sum() for image in all_images(read(tmp_path, value_range=(0, 4095))))
    assert found == pytest.approx(sorted((1 - v / 4095).sum() for v in written.values()), abs=1e-4)


def test_a_pgm_is_read_with_its_own_values(tmp_path: Path) -> None:
    """Pillow stretches 12 bits to 16."""

    def save(path: Path, values: np.ndarray) -> None:
        path.write_bytes(b"P5 6 4 4095\n" + values.astype(">u2").tobytes())

    written = set_of(tmp_path, save, 4, 6, 1, ending="pgm")
    assert_same(read(tmp_path, value_range=(0, 4095)), written, 4095)


@pytest.mark.parametrize(
    "what",
    [
        "ppm",
        pytest.param(
            "jp2", marks=pytest.mark.skipif(not features.check("jpg_2000"), reason="no JPEG 2000")
        ),
    ],
)
def test_deep_colours_that_would_be_cut_are_refused(tmp_path: Path, what: str) -> None:
    def ppm(path: Path, values: np.ndarray) -> None:
        path.write_bytes(b"P6 6 4 4095\n" + values.astype(">u2").tobytes())

    def jp2(path: Path, values: np.ndarray) -> None:
        # the bits of each channel, in the header of an otherwise ordinary file
        Image.fromarray(values.astype(np.uint8)).save(path)
        whole = bytearray(path.read_bytes())
        start = whole.index(b"\xff\x4f\xff\x51")
        for channel in range(3):
            whole[start + 42 + 3 * channel] = 11
        path.write_bytes(bytes(whole))

    set_of(tmp_path, {"ppm": ppm, "jp2": jp2}[what], 4, 6, 3, ending=what)
    with pytest.raises(
        BadRequest, match="more than 8 bits a channel, of which Pillow would keep 8"
    ):
        read(tmp_path, value_range=(0, 4095))


def test_a_range_scales_pictures_of_8_bits_too(tmp_path: Path) -> None:
    written = set_of(tmp_path, lambda p, v: Image.fromarray(v).save(p), 4, 6, make=bytes_of)
    assert_same(
        read(tmp_path, value_range=(0, 510)), {k: v[..., None] for k, v in written.items()}, 510
    )
    assert read(tmp_path, value_range=(0, 255)).train.images.dtype == torch.uint8


def test_unlike_depths_and_bands_are_refused(tmp_path: Path) -> None:
    set_of(tmp_path, png_16, 4, 6, 3, ending="png")
    Image.fromarray(bytes_of(4, 6, 3)).save(tmp_path / "ant/shallow.png")
    with pytest.raises(
        BadRequest,
        match=r"of 8 bits a channel and of more: .*16 bits \(12, .*8 bits \(1, such as shallow",
    ):
        read(tmp_path, value_range=(0, 4095))
    (tmp_path / "ant/shallow.png").unlink()
    tiff(photometric="minisblack", planarconfig="contig")(tmp_path / "ant/b.tif", deep(4, 6, 5))
    with pytest.raises(
        BadRequest, match=r"different numbers of channels: 3 \(12, .*5 \(1, such as b.tif"
    ):
        read(tmp_path, value_range=(0, 4095))


def test_without_the_library_bands_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_of(tmp_path, tiff(photometric="rgb", extrasamples=["unspecified"]), 4, 6, 4)
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(BadRequest, match=r"of 4 bands of 16 bits, which needs .*'attar\[tiff\]'"):
        read(tmp_path)


def test_transparency_beside_bands_has_no_meaning(tmp_path: Path) -> None:
    save = tiff(photometric="minisblack", planarconfig="contig", extrasamples=[0, 0, 0, 2])
    set_of(tmp_path, save, 4, 6, 5, make=bytes_of)
    with pytest.raises(BadRequest, match="transparency beside 4 bands"):
        read(tmp_path)


# Pillow itself warns of what it finds
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:Truncated File Read")
def test_a_damaged_tiff_is_refused_by_name(tmp_path: Path) -> None:
    set_of(tmp_path, tiff(photometric="minisblack", planarconfig="contig"), 4, 6, 13)
    whole = (tmp_path / "bee/3.tif").read_bytes()
    for content in (whole[:8], whole[:200], b"II*\0" + bytes(60)):
        (tmp_path / "bee/3.tif").write_bytes(content)
        with pytest.raises(BadRequest, match=r"image .*bee.3.tif cannot be read"):
            read(tmp_path, value_range=(0, 4095))


def test_deep_images_are_kept_between_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "KEPT_FROM", 10)
    root, kept = tmp_path / "zoo", tmp_path / "kept"
    set_of(root, tiff(photometric="minisblack", planarconfig="contig"), 4, 6, 13)
    first = read(root, value_range=(0, 4095), data_dir=kept)
    (path,) = (kept / "decoded").iterdir()
    before = path.stat().st_mtime_ns
    second = read(root, value_range=(0, 4095), data_dir=kept)
    assert path.stat().st_mtime_ns == before
    assert torch.equal(first.train.images, second.train.images)
    wider = read(root, value_range=(0, 8190), data_dir=kept)
    assert torch.allclose(wider.train.images * 2, first.train.images)
    assert len(list((kept / "decoded").iterdir())) == 2


# pages


@pytest.mark.parametrize(
    ("ending", "words"),
    [("tif", "3 pages"), ("gif", "3 frames"), ("webp", "3 frames"), ("png", "3 frames")],
)
def test_pages_and_frames_are_told(tmp_path: Path, ending: str, words: str) -> None:
    def save(path: Path, values: np.ndarray) -> None:
        first, *rest = [Image.fromarray(bytes_of(4, 6, 3)) for _ in range(3)]
        first.save(path, save_all=True, append_images=rest)

    set_of(tmp_path, save, 1, ending=ending)
    with pytest.raises(BadRequest, match=rf"ant.0.{ending} holds {words}, and one picture a file"):
        read(tmp_path)


def test_pages_of_many_bands_are_told(tmp_path: Path) -> None:
    set_of(tmp_path, tiff(photometric="minisblack"), 13, 4, 6)
    with pytest.raises(BadRequest, match="holds 13 pages"):
        read(tmp_path, value_range=(0, 4095))


def test_smaller_copies_are_no_pages(tmp_path: Path) -> None:
    def save(path: Path, values: np.ndarray) -> None:
        with tifffile.TiffWriter(path) as file:
            file.write(values, photometric="rgb", subifds=0)
            file.write(values[::2, ::2], photometric="rgb", subfiletype=1)

    set_of(tmp_path, save, 4, 6, 3, make=bytes_of)
    assert read(tmp_path).train.shape == (3, 4, 6)


def test_of_a_phones_picture_the_main_one_is_read(tmp_path: Path) -> None:
    """MPO: a JPEG file with a preview, a depth map or a second view behind the picture."""

    def save(path: Path, values: np.ndarray) -> None:
        first, second = (Image.fromarray(bytes_of(*size, 3)) for size in ((4, 6), (2, 3)))
        first.save(path, "MPO", save_all=True, append_images=[second])
        with Image.open(path) as image:
            assert image.format == "MPO" and getattr(image, "n_frames", 1) == 2

    set_of(tmp_path, save, 1, ending="jpg")
    assert read(tmp_path).train.shape == (3, 4, 6)


def test_what_is_no_picture_inside_is_never_opened(tmp_path: Path) -> None:
    """Pillow has EPS files run by Ghostscript, whatever their names are."""
    set_of(tmp_path, lambda p, v: Image.fromarray(v).save(p), 4, 6, 3, make=bytes_of, ending="png")
    Image.fromarray(bytes_of(4, 6, 3)).save(tmp_path / "ant/0.png", "EPS")
    with pytest.raises(BadRequest, match=r"ant.0.png cannot be read \(cannot identify"):
        read(tmp_path)


def test_all_broken_pictures_are_named_at_once(tmp_path: Path) -> None:
    set_of(
        tmp_path, lambda p, v: Image.fromarray(v).save(p), 40, 60, 3, make=bytes_of, ending="png"
    )
    whole = (tmp_path / "ant/0.png").read_bytes()
    (tmp_path / "ant/0.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "bee/1.png").write_bytes(b"nothing")
    with pytest.raises(
        BadRequest, match=r"^2 images cannot be read: .*; replace or remove them$"
    ) as e:
        read(tmp_path)
    assert re.search(r"bee.1\.png \(cannot identify", str(e.value))
    assert re.search(r"ant.0\.png \([^)]*truncated", str(e.value))
    told = []
    with pytest.raises(BadRequest):
        read(tmp_path, watch=lambda what, done, total: told.append((what, done == total)))
    assert told[-1] == ("looking for others that cannot be read", True)
    for number in range(12):
        (tmp_path / f"ant/x{number}.png").write_bytes(b"nothing")
    with pytest.raises(BadRequest, match=r"^more than 10 images cannot be read: .*, …; replace"):
        read(tmp_path)


def test_what_is_refused_for_another_reason_hides_no_broken_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_of(tmp_path, lambda p, v: Image.fromarray(v).save(p), 4, 6, 3, make=bytes_of, ending="png")
    for name in ("ant/1.png", "bee/2.png"):
        (tmp_path / name).write_bytes(b"nothing")
    pages = [Image.fromarray(bytes_of(4, 6, 3)) for _ in range(2)]
    pages[0].save(tmp_path / "ant/2.png", "TIFF", save_all=True, append_images=pages[1:])
    with pytest.raises(BadRequest, match=r"^3 images .*those that are broken$") as refused:
        read(tmp_path)
    for said in (
        r"ant.1\.png \(cannot",
        r"bee.2\.png \(cannot",
        r"2\.png \(holds 2 pages, and",
    ):
        assert re.search(said, str(refused.value))
    closed = tmp_path / "ant/0.png"

    def opened(path: Path) -> Any:
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return path.open("rb")

    monkeypatch.setattr("attar.data.picture_files.open_regular", opened)
    with pytest.raises(BadRequest, match=r"^4 images .*0\.png \(Permission denied\)"):
        read(tmp_path)
    for name in ("ant/1.png", "ant/2.png", "bee/2.png"):
        (tmp_path / name).unlink()
    with pytest.raises(BadRequest, match=r"0\.png cannot be read: .*Permission denied; give your"):
        read(tmp_path)


@pytest.mark.parametrize("error", [IndexError("too many"), RuntimeError("Failed to")])
def test_whatever_a_decoder_raises_is_told_of_its_picture(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As tifffile and libavif do at damaged files."""
    set_of(tmp_path, lambda p, v: Image.fromarray(v).save(p), 4, 6, 3, make=bytes_of, ending="png")

    def failing(*given: Any, **more: Any) -> None:
        raise error

    monkeypatch.setattr(Image.Image, "convert", failing)
    monkeypatch.setattr(Image.Image, "load", failing)
    with pytest.raises(BadRequest, match=r"images cannot be read: .*0\.png \((too many|Failed)"):
        read(tmp_path)


def test_of_a_picture_of_usual_size_nobody_asks_whether_memory_holds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It takes ten times as long as the header."""
    asked: list[int] = []
    monkeypatch.setattr("attar.data.opening.check_unpacked", lambda *given: asked.append(given[1]))
    for side in (64, 5000):
        stream = BytesIO()
        Image.new("RGB", (side, side)).save(stream, "PNG", compress_level=1)
        assert read_header(stream, "it", PLAIN).size == (side, side)
    assert asked == [3 * 5000**2]


def test_sizes_beyond_any_picture_are_refused(tmp_path: Path) -> None:
    set_of(tmp_path, tiff(photometric="minisblack", planarconfig="contig"), 4, 6, 13)
    with tifffile.TiffFile(tmp_path / "ant/0.tif", mode="r+b") as file:
        for name in ("ImageWidth", "ImageLength"):
            file.pages[0].tags[name].overwrite(2**30 if name == "ImageWidth" else 2**16 - 1)
    with pytest.raises(BadRequest, match=r"ant.0.tif cannot be read \(.* pixels, more than"):
        read(tmp_path, value_range=(0, 4095))


# orientation

CORNER = np.zeros((4, 6, 3), np.uint8)
CORNER[:2, :3] = 200


def with_orientation(path: Path, orientation: int, image: Image.Image | None = None) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    (image or Image.fromarray(CORNER)).save(
        path, exif=exif, **({"quality": 100, "subsampling": 0} if path.suffix == ".jpg" else {})
    )


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_a_viewer_turns_them(
    tmp_path: Path, ending: str, orientation: int
) -> None:
    # where the bright corner of a picture ends up
    ends = {
        1: (0, 0),
        2: (0, -1),
        3: (-1, -1),
        4: (-1, 0),
        5: (0, 0),
        6: (0, -1),
        7: (-1, -1),
        8: (-1, 0),
    }
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for index in range(3):
            noise = Image.fromarray(CORNER + np.uint8(index + 3 * (name == "bee")))
            with_orientation(tmp_path / name / f"{index}.{ending}", orientation, noise)
    splits = read(tmp_path)
    assert splits.train.shape[1:] == ((6, 4) if orientation > 4 else (4, 6))
    row, column = ends[orientation]
    for image in all_images(splits):
        assert image[0, row, column] > 120
        assert sum(image[0, r, c] > 120 for r in (0, -1) for c in (0, -1)) == 1


def test_deep_pictures_and_many_bands_are_turned(tmp_path: Path) -> None:
    bands = np.zeros((4, 6, 5), np.uint16)
    bands[:2, :3] = 4000
    save = tiff(photometric="minisblack", planarconfig="contig", extratags=[(274, 3, 1, 6, True)])
    set_of(
        tmp_path / "tif", lambda p, v: save(p, bands + v), 4, 6, 5, make=lambda *s: deep(*s, most=9)
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    late = chunk(b"eXIf", exif.tobytes()[6:])
    for samples in (1, 3):
        set_of(
            tmp_path / f"png{samples}",
            lambda p, v: png_16(p, bands[..., : v.shape[-1]] + v, late),
            4,
            6,
            samples,
            ending="png",
            make=lambda *s: deep(*s, most=9),
        )
    for root in (tmp_path / "tif", tmp_path / "png1", tmp_path / "png3"):
        splits = read(root, value_range=(0, 4095))
        assert splits.train.shape[1:] == (6, 4)
        assert all(image[0, 0, -1] > 0.9 and image[0, 0, 0] < 0.1 for image in all_images(splits))


def test_exif_after_the_pixels_counts(tmp_path: Path) -> None:
    """Pillow decodes a PNG before it knows of it."""
    exif = Image.Exif()
    exif[0x0112] = 8

    def save(path: Path, values: np.ndarray) -> None:
        found = BytesIO()
        Image.fromarray(values).save(found, "PNG")
        body, end = found.getvalue()[:-12], found.getvalue()[-12:]
        path.write_bytes(body + chunk(b"eXIf", exif.tobytes()[6:]) + end)

    set_of(tmp_path, save, 4, 6, 3, make=bytes_of, ending="png")
    assert read(tmp_path).train.shape == (3, 6, 4)


# Pillow itself warns of what it finds
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:Truncated File Read")
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"]
)
def test_damaged_exif_turns_nothing(tmp_path: Path, exif: bytes) -> None:
    def save(path: Path, values: np.ndarray) -> None:
        Image.fromarray(values).save(path, exif=exif)

    set_of(tmp_path, save, 4, 6, 3, make=bytes_of, ending="jpg")
    assert read(tmp_path).train.shape == (3, 4, 6)


def test_hf_gives_what_its_own_library_decodes(tmp_path: Path) -> None:
    """The library datasets turns pictures as it decodes them (5.0)."""
    import datasets

    paths = []
    for index in range(12):
        path = tmp_path / f"{index}.jpg"
        with_orientation(path, 6, Image.fromarray(bytes_of(4, 6, 3)))
        paths.append(str(path))
    features_ = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["ant", "bee"])}
    )
    data = datasets.Dataset.from_dict({"image": paths, "label": [0, 1] * 6}, features=features_)
    data.save_to_disk(tmp_path / "saved")
    splits = load_source(f"hf:{tmp_path / 'saved'}")
    theirs = sorted(np.asarray(row["image"]).tobytes() for row in data)
    ours = sorted(image.transpose(1, 2, 0).tobytes() for image in all_images(splits))
    assert ours == theirs


# transparency


def drawing(mode: str) -> Image.Image:
    """Return a black line on nothing, somewhere."""
    alpha = np.zeros((6, 6), np.uint8)
    alpha[int(RANDOM.integers(6))] = 255
    alpha[:, int(RANDOM.integers(6))] = 255
    image = Image.merge("RGBA", [Image.new("L", (6, 6))] * 3 + [Image.fromarray(alpha)])
    return image.convert(mode) if mode != "P" else image.quantize(4)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_white_or_as_asked(tmp_path: Path, mode: str) -> None:
    set_of(tmp_path, lambda p, v: drawing(mode).save(p), 1, ending="png")
    white = read(tmp_path)
    assert white.train.shape[0] == (1 if mode == "LA" else 3)
    assert {int(v) for v in white.train.images.unique()} == {0, 255}
    assert all((image == 255).mean() > 0.5 for image in all_images(white))
    red = read(tmp_path, background="red")
    assert red.train.shape[0] == 3
    assert {tuple(p) for p in red.train.images[0].permute(1, 2, 0).reshape(-1, 3).tolist()} == {
        (0, 0, 0),
        (255, 0, 0),
    }
    with pytest.raises(BadRequest, match=r"all \d+ training images are the same.*--background"):
        read(tmp_path, background="black")


def test_one_transparent_colour_and_gif(tmp_path: Path) -> None:
    array = np.zeros((4, 6, 3), np.uint8)
    array[1] = (9, 8, 7)
    for ending in ("png", "gif"):

        def save(path: Path, values: np.ndarray, ending: str = ending) -> None:
            own = array.copy()
            own[2, 2] = values
            if ending == "png":
                Image.fromarray(own).save(path, transparency=(9, 8, 7))
            else:
                image = Image.fromarray(own).convert("P", palette=Image.Palette.ADAPTIVE)
                image.save(path, transparency=image.getpixel((0, 1)))

        set_of(tmp_path / ending, save, 3, make=bytes_of, ending=ending)
        for image in all_images(read(tmp_path / ending)):
            assert (image[:, 1] == 255).all() and (image[:, 0] == 0).all()


def test_opaque_pictures_are_not_touched(tmp_path: Path) -> None:
    written = set_of(
        tmp_path,
        lambda p, v: Image.fromarray(
            np.concatenate([v, np.full((4, 6, 1), 255, np.uint8)], -1)
        ).save(p),
        4,
        6,
        3,
        make=bytes_of,
        ending="png",
    )
    found = sorted(image.tobytes() for image in all_images(read(tmp_path, background="blue")))
    assert found == sorted(np.moveaxis(v, -1, 0).tobytes() for v in written.values())


@pytest.mark.parametrize("samples", [2, 4])
def test_deep_transparency(tmp_path: Path, samples: int) -> None:
    def save(path: Path, values: np.ndarray) -> None:
        values[..., -1] = 65535
        values[0, :, -1] = 0
        png_16(path, values)

    set_of(tmp_path, save, 4, 6, samples, ending="png")
    splits = read(tmp_path, value_range=(0, 4095))
    assert splits.train.shape[0] == samples - 1
    assert all((image[:, 0] == 1).all() and (image[:, 1] < 1).any() for image in all_images(splits))


def test_images_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(BadRequest, match="all 40 training images are the same"):
        attar.data.from_tensors(
            torch.full((40, 1, 8, 8), 7, dtype=torch.uint8), torch.arange(40) % 2
        )


# images that a data set gives


class Items(Dataset[Any]):
    def __init__(self, images: list[Any]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        return self.images[index], index % 2


def test_pillow_images_of_a_data_set(tmp_path: Path) -> None:
    white = from_dataset(Items([drawing("RGBA") for _ in range(12)]))
    assert {int(v) for v in white.train.images.unique()} == {0, 255}
    assert (
        from_dataset(Items([drawing("LA") for _ in range(12)]), background="red").train.shape[0]
        == 3
    )
    grays = [Image.fromarray(deep(4, 6)) for _ in range(12)]
    assert from_dataset(Items(grays), value_range=(0, 4095)).train.images.dtype == torch.float32
    with pytest.raises(BadRequest, match="--range 0:4095"):
        from_dataset(Items(grays))
    png_16(tmp_path / "a.png", deep(4, 6, 3))
    with (
        Image.open(tmp_path / "a.png") as image,
        pytest.raises(BadRequest, match="16 bits a channel, of which Pillow keeps 8"),
    ):
        from_dataset(Items([image] * 12))


def test_pages_that_a_data_set_gives(tmp_path: Path) -> None:
    first, *rest = [Image.fromarray(bytes_of(4, 6, 3)) for _ in range(3)]
    first.save(tmp_path / "a.tif", save_all=True, append_images=rest)
    with Image.open(tmp_path / "a.tif") as image:
        with pytest.raises(BadRequest, match="3 pages"):
            from_dataset(Items([image] * 12))
        image.seek(1)
        # the one that the data set has chosen
        with pytest.raises(BadRequest, match="are the same"):
            from_dataset(Items([image] * 12))


def test_a_data_set_that_does_not_turn_is_told(tmp_path: Path) -> None:
    with_orientation(tmp_path / "a.jpg", 6)
    with Image.open(tmp_path / "a.jpg") as image:
        images = [*(Image.fromarray(bytes_of(4, 6, 3)) for _ in range(11)), image.convert("RGB")]
        with pytest.warns(UserWarning, match="1 images, such as image 11, are still to be turned"):
            splits = from_dataset(Items(images))
    assert splits.train.shape == (3, 4, 6)
