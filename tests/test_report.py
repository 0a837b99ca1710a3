import base64
import io
import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from attar.artefact.artefact import Artefact
from attar.artefact.header import Header
from attar.data.preprocessing import Preprocessing
from attar.report import Row, write_report
from attar.report.axes import linear_axis, logarithmic_axis, number, spans_decades, thin
from attar.report.pictures import choose
from attar.rng import Key
from attar.synthetic import Synthetic, from_description

HOSTILE = '<script>alert("x")</script>'
ROWS = [
    Row("condensed", "3", 1536, 1440, {"convnet3": (71.25, 0.5, 5)}, "with labels"),
    Row("random real images", "1", 1440, 1440, {"convnet3": (41.5, 2.0, 5)}),
    Row("whole training set", "100", None, None, {"convnet3": (93.0, 0.25, 5)}),
]


def make(
    names: tuple[str, ...] = ("cat", "dog"),
    shape: tuple[int, int, int] = (3, 6, 4),
    per_class: int = 3,
    rank: int | None = None,
    **card: Any,
) -> Artefact:
    form = {"name": "pixels"} if rank is None else {"name": "low_rank", "rank": rank}
    channels = shape[0]
    described = Header(
        class_names=list(names),
        shape=shape,
        images_per_class=per_class,
        parametrization=form,
        mean=[0.4] * channels,
        std=[0.3] * channels,
        **card,
    )
    synthetic = Synthetic(described.layout, from_description(form), described.learned_labels)
    synthetic.images.start_from_noise(Key(0))
    synthetic.requires_grad_(False)
    return Artefact(described, synthetic, Preprocessing((0.4,) * channels, (0.3,) * channels))


def page(tmp_path: Path, artefact: Artefact, **options: Any) -> str:
    path = tmp_path / "report.html"
    write_report(path, artefact, **{"rows": ROWS, "log": [], **options})
    return path.read_text(encoding="utf-8")


def words(html: str) -> str:
    """Return what a reader sees."""
    body = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL).replace("<wbr>", "")
    return unescape(re.sub(r"<[^>]*>", " ", body)).replace("\N{NO-BREAK SPACE}", " ")


class Balanced(HTMLParser):
    """Fails at an end tag without its start; collects elements and their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("img", "input", "meta", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def of(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag == name]


def decode(html: str) -> list[torch.Tensor]:
    """Return the images on a page as H×W or H×W×C bytes."""
    found = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", html)
    images = (Image.open(io.BytesIO(base64.b64decode(data))) for data in found)
    return [
        torch.tensor(list(image.tobytes())).view(image.height, image.width, -1) for image in images
    ]


def course(steps: int, validate: bool = True) -> list[dict[str, float]]:
    log: list[dict[str, float]] = []
    for step in range(1, steps + 1):
        log.append({"step": step, "loss": 10.0 / step, "seconds": 0.1 * step})
        if validate and step % 10 == 0:
            log.append({"step": step, "validation": 50.0 + step / 10})
    return log


@pytest.mark.parametrize("log", [[], course(1), course(40), course(40, validate=False)])
@pytest.mark.parametrize("rows", [[], ROWS[:1], ROWS])
def test_page_stands_alone_and_is_balanced(
    tmp_path: Path, rows: list[Row], log: list[dict[str, float]]
) -> None:
    html = page(tmp_path, make(), rows=rows, log=log)
    parsed = Balanced(html)
    assert "http://" not in html and "https://" not in html and "url(" not in html
    for name in ("script", "link", "iframe", "object", "base"):
        assert parsed.of(name) == []
    assert all((image["src"] or "").startswith("data:image/png") for image in parsed.of("img"))
    assert all(image["alt"] for image in parsed.of("img"))
    assert all(cell["scope"] in ("row", "col") for cell in parsed.of("th"))
    # tables are the ledger, and the comparison where there is one; charts as there are series
    assert len(parsed.of("table")) == (2 if rows else 1)
    series = {name for row in log for name in row} & {"loss", "validation"}
    assert len(parsed.of("svg")) == len(series)
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in parsed.of("svg"))


def test_page_says_everything(tmp_path: Path) -> None:
    artefact = make(
        rank=2,
        method="lodm",
        learned_labels=True,
        budget={"limit": 2000, "count": "all"},
        settings={"card": "dsa-1000", "optimisers": {"images": {"lr": 0.125, "clip": None}}},
        seed=17,
        step=40,
        iterate="selected",
        validation=54.0,
        provenance={"dataset": "pets", "torch": "2.9.9", "command": "attar condense pets -o a"},
    )
    html = page(tmp_path, artefact, log=course(40), notes=["Measured on one CPU."])
    text = words(html)
    # 6 images × 3 channels × rank 2 × (6 + 4) values, and 6 × 2 labels, of 4 bytes each
    for said in (
        *("lodm on pets", "3 images per class", "cat", "dog", "Measured on one CPU."),
        *("71.2 ± 0.5 %", "41.5 ± 2.0 %", "93.0 ± 0.2 %", "over 5 networks", "with labels"),
        *("1,440 bytes", "1,488 bytes", "2,000 bytes", "512 bytes", "360"),
        *("images.left", "images.right", "labels.values", "6 × 3 × 6 × 2", "864", "576", "48"),
        *("optimisers.images.lr", "0.125", "dsa-1000", "1,000, batches of 256", "2.9.9", "17"),
        *("step 40, selected", "attar condense pets", "54.0 %", "(ringed)"),
    ):
        assert said in text, said
    assert 'class="ring"' in html


def test_summary_names_this_set_and_its_rivals(tmp_path: Path) -> None:
    better = Row("another", "9", 9, 9, {"convnet3": (80.0, 0.5, 1)}, kind="condensed")
    html = page(tmp_path, make(method="lodm"), rows=[*ROWS, better])
    lead = re.search(r'class="lead">(.*?)</p>', html)
    assert lead
    assert "71.2 ± 0.5 %" in words(lead[1]) and "41.5 ± 2.0 %" in words(lead[1])
    best = re.findall(r'<tr role="row" class="best">.*?</tr>', html)
    assert len(best) == 1 and "80.0 %" in words(best[0]) and "n = 1" in words(best[0])


def test_missing_accuracy_is_said(tmp_path: Path) -> None:
    other = Row("random", "1", 9, 9, {"alexnet": (10.0, 0.0, 1)})
    assert "not measured" in page(tmp_path, make(), rows=[*ROWS, other])


def test_hostile_text_is_inert(tmp_path: Path) -> None:
    odd = "a\x00b\ud800"
    html = page(
        tmp_path,
        make((HOSTILE, odd), settings={HOSTILE: HOSTILE}, provenance={"dataset": HOSTILE}),
        rows=[Row(HOSTILE, HOSTILE, 1, 1, {HOSTILE: (1.0, 1.0, 1)}, HOSTILE)],
        notes=[HOSTILE],
        title=HOSTILE,
        command=HOSTILE,
    )
    assert Balanced(html).of("script") == []
    assert "<script" not in html
    assert HOSTILE in words(html) and "a\\x00b\\ud800" in words(html)
    policy = next(m for m in Balanced(html).of("meta") if m.get("http-equiv"))
    assert "default-src 'none'" in (policy["content"] or "")


@pytest.mark.parametrize("rank", [None, 1])
@pytest.mark.parametrize("shape", [(1, 5, 5), (3, 8, 8), (3, 4, 9), (1, 2, 20), (3, 1, 1)])
def test_images_are_the_pixels(
    tmp_path: Path, shape: tuple[int, int, int], rank: int | None
) -> None:
    artefact = make(shape=shape, rank=rank, per_class=2)
    images = decode(page(tmp_path, artefact))
    assert len(images) == 4
    for shown, pixels in zip(images, artefact.pixels, strict=True):
        assert torch.equal(shown, (pixels * 255).round().long().permute(1, 2, 0))


@pytest.mark.parametrize(("channels", "shown"), [(2, 1), (5, 3)])
def test_other_numbers_of_channels_can_be_seen(tmp_path: Path, channels: int, shown: int) -> None:
    html = page(tmp_path, make(shape=(channels, 3, 3), per_class=1))
    assert decode(html)[0].shape == (3, 3, shown)
    assert "channels" in words(html)


def test_many_images_are_counted(tmp_path: Path) -> None:
    html = page(tmp_path, make(shape=(1, 2, 2), per_class=30))
    assert len(decode(html)) == 2 * 12
    assert words(html).count("18 more") == 2 and "first 12 of 30 images" in words(html)


def test_many_classes_are_counted(tmp_path: Path) -> None:
    names = tuple(f"class {index}" for index in range(205))
    text = words(page(tmp_path, make(names, (1, 2, 2), 1)))
    assert "first 200 of 205 classes" in text
    assert "class 199" in text and "class 200" not in text


def test_large_images_are_averaged_down(tmp_path: Path) -> None:
    html = page(tmp_path, make(shape=(1, 200, 1), per_class=1))
    assert decode(html)[0].shape == (66, 1, 1)
    assert "averaged down by 3" in words(html)


@pytest.mark.parametrize(
    ("classes", "per_class", "shape"),
    [(10, 100, (3, 32, 32)), (100, 10, (3, 32, 32)), (200, 10, (3, 64, 64)), (10, 1, (3, 900, 9))],
)
def test_page_stays_small(classes: int, per_class: int, shape: tuple[int, int, int]) -> None:
    choice = choose(classes, per_class, shape)
    # a PNG of noise is as long as its pixels, and base64 adds a third
    sides = (side // choice.reduction or 1 for side in shape[1:])
    item = shape[0] * next(sides) * next(sides) + 200
    assert choice.classes >= 1 and choice.per_class >= 1
    assert choice.classes * choice.per_class * item * 4 / 3 < 1_700_000


def test_narrow_screens_have_room(tmp_path: Path) -> None:
    html = page(tmp_path, make(("x" * 300, "dog")), log=course(30))
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style and 'content="width=device-width, initial-scale=1"' in html
    fixed = re.findall(r"[^-](?:min-)?width: ?([\d.]+)(?:px|rem)", style[1])
    assert all(float(width) <= 5 for width in fixed if width not in ("44", "43.99"))
    assert "prefers-color-scheme: dark" in style[1] and "@media print" in style[1]
    assert "image-rendering: pixelated" in style[1]


def test_long_logs_are_thinned(tmp_path: Path) -> None:
    log = [{"step": step, "loss": 5.0 if step == 777 else 1.0} for step in range(1, 4001)]
    html = page(tmp_path, make(), log=log)
    line = re.search(r'<polyline points="([^"]*)"', html)
    assert line and len(line[1].split()) <= 500
    assert "4,000 values" in words(html)


def test_thinning_keeps_ends_and_extremes() -> None:
    points = [(float(step), 9.0 if step == 333 else -step / 1e6) for step in range(5001)]
    kept = thin(points)
    assert len(kept) <= 500
    assert kept[0] == points[0] and kept[-1] == points[-1] and points[333] in kept
    assert kept == sorted(kept)
    assert thin(points[:500]) == points[:500]


def test_values_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    log = [json.loads('{"step": 1, "loss": NaN}'), {"step": 2, "loss": 3.0}]
    html = page(tmp_path, make(), log=log)
    assert "nan" not in html.split("<polyline")[1].split("</svg>")[0]


def test_log_scale_from_two_decades_on(tmp_path: Path) -> None:
    assert spans_decades([1.0, 101.0])
    assert not spans_decades([1.0, 100.0]) and not spans_decades([0.0, 1e9])
    assert "log scale" in page(tmp_path, make(), log=course(200))
    assert "log scale" not in page(tmp_path, make(), log=course(50))


@pytest.mark.parametrize("values", [(3.0,), (0.0, 0.0), (-2.0, 7.3), (1e-14, 3e-14), (99.0, 1e7)])
def test_axis_holds_its_values(values: tuple[float, ...]) -> None:
    axis = linear_axis(values)
    assert all(-1e-9 <= axis(value) <= 1 + 1e-9 for value in values)
    assert 2 <= len(axis.ticks) <= 8


def test_logarithmic_axis_spans_whole_decades() -> None:
    axis = logarithmic_axis((0.02, 3000.0))
    assert axis.ticks[0] == 0.01 and axis.ticks[-1] == 10_000.0
    assert axis(0.01) == 0 and axis(10_000.0) == 1
    assert len(logarithmic_axis((1e-30, 1e30)).ticks) <= 7


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.25, "0.25"), (-3.0, "−3"), (2000.0, "2,000"), (1e6, "10⁶"), (2e-5, "2·10⁻⁵")],
)
def test_ticks_are_short(value: float, text: str) -> None:
    assert number(value) == text
