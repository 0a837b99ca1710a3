"""Picture codecs: what is written comes back, in bounds, and nothing else is taken."""

import io
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from attar.coding import CODECS, PictureCodec, codecs_there, grid_of, joined, parted
from attar.errors import ArtefactError, BadRequest

THERE = codecs_there()


def picture(height: int = 24, width: int = 40, channels: int = 3, seed: int = 0) -> np.ndarray:
    steps = np.random.default_rng(seed).normal(0, 3, (height, width, channels))
    smooth = 128 + steps.cumsum(0).cumsum(1)
    return smooth.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", THERE)
def test_pictures_come_back_near_and_always_the_same(name: str, channels: int) -> None:
    codec = PictureCodec(name, 90)
    wanted = picture(channels=channels)
    data = codec.encode(wanted)
    assert data == codec.encode(wanted.copy())
    found = codec.decode(data, wanted.shape)
    assert (found.dtype, found.shape) == (np.uint8, wanted.shape)
    distance = np.abs(found.astype(float) - wanted).mean()
    assert distance == 0 if name == "png" else distance < 12


@pytest.mark.parametrize("name", [name for name in THERE if CODECS[name].qualities])
def test_a_lower_quality_takes_fewer_bytes(name: str) -> None:
    taken = [len(PictureCodec(name, quality).encode(picture(64, 64))) for quality in (10, 50, 90)]
    assert taken == sorted(set(taken))


@pytest.mark.parametrize("name", [name for name in THERE if CODECS[name].has_chroma])
def test_colours_in_full_come_nearer(name: str) -> None:
    wanted = np.random.default_rng(1).integers(0, 2, (16, 16, 3), np.uint8) * 255
    far, near = (
        np.abs(codec.decode(codec.encode(wanted), wanted.shape).astype(float) - wanted).mean()
        for codec in (PictureCodec(name, 90), PictureCodec(name, 90, "444"))
    )
    assert near < far / 2


@given(st.integers(1, 60), st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 3]))
@settings(deadline=None, max_examples=60)
def test_sheets_hold_every_image(count: int, height: int, width: int, channels: int) -> None:
    images = np.random.default_rng(count).integers(0, 256, (count, height, width, channels))
    images = images.astype(np.uint8)
    lines, columns = grid_of(count)
    sheet = joined(images)
    assert sheet.shape == (lines * height, columns * width, channels)
    assert lines * columns - count < max(lines, columns) and lines <= columns <= 2 * lines + 1
    assert np.array_equal(parted(sheet, count), images)


@pytest.mark.parametrize("name", THERE)
def test_another_size_is_refused_from_the_header(name: str) -> None:
    codec = PictureCodec(name, 50)
    data = codec.encode(picture(24, 40))
    for shape in ((40, 24, 3), (24, 41, 3), (1, 1, 3)):
        with pytest.raises(ArtefactError, match=f"a {name} stream of .*it is of 24×40 pixels"):
            codec.decode(data, shape)


@pytest.mark.parametrize("name", THERE)
def test_a_picture_that_is_far_too_large_is_never_decoded(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # of one colour, so the stream of 9 million pixels is small
    bomb = PictureCodec(name, 10).encode(np.zeros((3000, 3000, 1), np.uint8))
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("it was opened"))
    with pytest.raises(ArtefactError, match="it is of 3000×3000 pixels"):
        PictureCodec(name, 10).decode(bomb, (8, 8, 1))


@pytest.mark.parametrize("name", THERE)
@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_damaged_streams_end_in_a_named_error_or_a_picture(name: str, data: st.DataObject) -> None:
    codec = PictureCodec(name, 60)
    good = codec.encode(picture(16, 16))
    place = data.draw(st.integers(0, len(good) - 1))
    kind = data.draw(st.sampled_from(["cut", "flip", "twice", "none"]))
    bad = {
        "cut": good[:place],
        "flip": good[:place]
        + bytes([good[place] ^ data.draw(st.integers(1, 255))])
        + good[place + 1 :],
        "twice": good[:place] + good[place:] * 2,
        "none": data.draw(st.binary(max_size=80)),
    }[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert codec.decode(bad, (16, 16, 3)).shape == (16, 16, 3)
        except ArtefactError as error:
            assert f"a {name} stream" in str(error)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)  # pyright: ignore[reportArgumentType]
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("jpeg", {"progressive": True}, "it is no baseline JPEG"),
        ("webp", {"lossless": True}, "it is no WebP of one picture alone"),
        ("png", {"pnginfo": "more"}, "it is no PNG of one picture alone"),
    ],
)
def test_streams_that_are_written_otherwise_are_refused(
    name: str, options: dict[str, object], text: str
) -> None:
    if options.get("pnginfo"):
        from PIL.PngImagePlugin import PngInfo

        more = PngInfo()
        more.add_text("more", "text " * 1000, zip=True)
        options = {"pnginfo": more}
    data = saved(Image.fromarray(picture()), CODECS[name].format, **options)
    with pytest.raises(ArtefactError, match=text):
        PictureCodec(name).decode(data, (24, 40, 3))


def test_a_second_scan_of_a_jpeg_is_refused() -> None:
    data = PictureCodec("jpeg").encode(picture())
    start = data.index(b"\xff\xda")
    with pytest.raises(ArtefactError, match="no JPEG of one scan"):
        PictureCodec("jpeg").decode(data[:-2] + data[start:], (24, 40, 3))


@pytest.mark.skipif("avif" not in THERE, reason="this Pillow has no AVIF")
def test_an_avif_whose_stream_is_larger_than_it_says_is_refused() -> None:
    codec = PictureCodec("avif")
    small, large = codec.encode(picture(16, 16)), codec.encode(picture(64, 64))
    own, other = small.index(b"mdat") - 4, large.index(b"mdat") - 4
    with pytest.raises(ArtefactError, match="it is of 64×64 pixels"):
        codec.decode(small[:own] + large[other:], (16, 16, 3))


@pytest.mark.skipif("avif" not in THERE, reason="this Pillow has no AVIF")
def test_a_slower_avif_is_another_stream_of_the_same_picture() -> None:
    """Of libavif 1.4 (Pillow 13.0): a lower speed shows more at one quality, in more bytes."""
    usual, slow = PictureCodec("avif", 50), PictureCodec("avif", 50, speed=2)
    shown = picture(64, 64)
    assert usual.encode(shown) == PictureCodec("avif", 50, speed=6).encode(shown)
    data = slow.encode(shown)
    assert data == slow.encode(shown) != usual.encode(shown)
    # whoever reads need not know
    assert np.array_equal(slow.decode(data, (64, 64, 3)), usual.decode(data, (64, 64, 3)))


def test_settings_are_refused_by_name() -> None:
    with pytest.raises(BadRequest, match="avif: speed 11: a whole number, 0 to 10"):
        PictureCodec("avif", speed=11)
    with pytest.raises(BadRequest, match="webp: speed=3 is for avif; leave it out"):
        PictureCodec("webp", speed=3)
    with pytest.raises(BadRequest, match="unknown picture codec 'avis'"):
        PictureCodec("avis")
    with pytest.raises(BadRequest, match="jpeg: quality 96: a whole number, 1 to 95"):
        PictureCodec("jpeg", 96)
    with pytest.raises(BadRequest, match="unknown chroma '422'"):
        PictureCodec("jpeg", 50, "422")
    with pytest.raises(BadRequest, match="webp: chroma=444 is for avif and jpeg"):
        PictureCodec("webp", 50, "444")
    with pytest.raises(BadRequest, match="keep 1 channel or 3, and these images have 4"):
        PictureCodec("png").encode(picture(channels=4))
    with pytest.raises(BadRequest, match=r"png: a picture of 1×70000; its sides are at most 65500"):
        PictureCodec("png").encode(np.zeros((1, 70000, 1), np.uint8))


def test_a_codec_that_this_pillow_lacks_is_refused_with_those_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # as in Pillow 11.0, which knows of no avif and warns where it is asked
    monkeypatch.delitem(features.modules, "avif", raising=False)
    assert "avif" not in codecs_there()
    with pytest.raises(
        BadRequest, match=r"avif: the installed Pillow .* lacks this codec and has .*png"
    ):
        PictureCodec("avif")
