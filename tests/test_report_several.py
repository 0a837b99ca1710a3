"""The page that sets several artefacts side by side."""

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from attar.errors import BadRequest
from attar.evaluation import Result
from attar.evaluation.comparison import Row
from attar.evaluation.record import Evaluation, digest, keep
from attar.report import Entry, read_entries, write_comparison
from attar.report.album import shown_classes
from attar.report.axes import byte_axis
from attar.report.canvas import settle
from attar.report.course import averaged, last_step, minutes, relative, series, timed
from attar.report.differences import facts_of
from attar.report.entries import names
from attar.report.protocols import (
    baselines_of,
    best_of,
    letter,
    own_accuracies,
    phrases,
    protocols_of,
)
from attar.report.single import write_entry
from attar.report.slider import SCRIPT
from test_report import HOSTILE, Balanced, course, decode, make
from test_report import words as spaced


def line(kind: Any, size: int | None, *results: Result, note: str = "") -> Row:
    return Row(kind, 1 if size else None, size, size or 9999, results, note, kind)


def result(*accuracies: float, network: str = "convnet3") -> Result:
    return Result(network, "dsa-1000", accuracies, 1.0)


def entry(name: str, *accuracies: float, **options: Any) -> Entry:
    """Return an artefact that was evaluated with baselines, where accuracies are given."""
    card = options.pop("card", "dsa-1000")
    baselines = options.pop("baselines", (50.0, 97.0))
    network = options.pop("network", "convnet3")
    log = options.pop("log", course(40))
    per_class = options.pop("per_class", 3)
    provenance = {"dataset": "pets", "source": "pets", "command": f"attar condense {name}"}
    artefact = make(
        **{"method": "lodm", "provenance": provenance, "per_class": per_class, **options}
    )
    rows = [line("condensed", artefact.nbytes, result(*accuracies, network=network))]
    if baselines:
        rows.append(line("random", artefact.nbytes, result(baselines[0], network=network)))
        rows.append(line("whole", None, result(baselines[1], network=network)))
    found = (Evaluation(card, "pets", tuple(rows)),) if accuracies else ()
    remark = "" if accuracies else "not evaluated"
    return Entry(name, artefact, found, log, remark, f"attar evaluate {name}.safetensors")


def page(tmp_path: Path, *entries: Entry, **options: Any) -> str:
    path = tmp_path / "report.html"
    write_comparison(path, entries, **options)
    return path.read_text(encoding="utf-8")


def words(html: str) -> str:
    """Return what a reader sees, with single spaces."""
    return " ".join(spaced(html).split())


def section(html: str, name: str) -> str:
    found = re.search(rf'<section aria-labelledby="{name}">.*?</section>', html, re.DOTALL)
    assert found, name
    return found[0]


def table_rows(html: str) -> list[str]:
    return [words(row) for row in re.findall(r"<tr.*?</tr>", html, re.DOTALL)]


ALIKE = (entry("one", 70.0, 72.0), entry("two", 80.0, 81.0, per_class=6, method="dm"))


@pytest.mark.parametrize(
    "entries",
    [
        ALIKE,
        (entry("one", log=[]), entry("two", log=[])),
        (*ALIKE, entry("three", log=course(1)), entry("four", 60.0, card="dc-300")),
        tuple(entry(f"set {n}", 50.0 + n, log=course(200)) for n in range(30)),
    ],
)
def test_page_stands_alone_and_is_balanced(tmp_path: Path, entries: tuple[Entry, ...]) -> None:
    html = page(tmp_path, *entries)
    parsed = Balanced(html)
    assert "http://" not in html and "https://" not in html and "url(" not in html
    for name in ("link", "iframe", "object", "base"):
        assert parsed.of(name) == []
    # that of the slider between two sets alone, which the page's own policy knows
    assert len(parsed.of("script")) == (len(entries) == 2)
    assert ("script-src &#x27;sha256-" in html) == (len(entries) == 2)
    assert "default-src &#x27;none&#x27;" in html
    assert all((image["src"] or "").startswith("data:image/png") for image in parsed.of("img"))
    assert all(image["alt"] for image in parsed.of("img"))
    assert all(cell["scope"] in ("row", "col") for cell in parsed.of("th"))
    assert all(
        chart.get("aria-hidden") or (chart["role"] == "img" and chart["aria-label"])
        for chart in parsed.of("svg")
    )
    # every heading is the name of its section, and no name is there twice
    anchors = [heading["id"] for heading in parsed.of("h2")]
    assert len(set(anchors)) == len(anchors) == len(parsed.of("section"))


def test_the_table_says_what_each_set_is_and_marks_the_best_in_words(tmp_path: Path) -> None:
    html = page(tmp_path, *ALIKE)
    _, one, two, small, large, whole = table_rows(section(html, "summary"))
    # 2 classes × 3 images of 3 × 6 × 4 float32 values
    for said in ("A one", "lodm", "3", "pixels", "1728 B", "71.0 ± 1.0 %", "40", "4 s"):
        assert said in one, said
    assert "best" not in one and "80.5 ± 0.5 % best" in two
    assert "3456 B" in two and "dm" in two
    assert "1728 B" in small and "50.0 %" in small and "beside A" in small
    assert "3456 B" in large and "beside B" in large
    assert "97.0 %" in whole and "n = 1" in whole and "beside" not in whole
    lead = re.search(r'class="lead">(.*?)</p>', html)
    assert lead
    said = words(lead[1])
    assert "2 condensed sets of pets , of 1728 B to 3456 B" in said
    assert "B two : 80.5 ± 0.5 % , against 50.0 % for random" in said
    assert "before-comparing" not in html


def test_what_was_trained_for_less_or_is_no_better_than_one_class_is_marked(
    tmp_path: Path,
) -> None:
    def measured(accuracy: float, updates: int) -> Result:
        right = ((round(0.9 * accuracy), round(0.1 * accuracy)),)
        counts = {"tested": (90, 10), "right": right, "epochs": 40, "updates": updates}
        return replace(result(accuracy), **counts)

    sets = []
    for name, accuracy, updates in (("one", 76.0, 41), ("two", 95.0, 164)):
        made = entry(name, accuracy)
        (whole,) = (row for row in made.evaluations[0].rows if row.kind == "whole")
        own = line("condensed", made.artefact.nbytes, measured(accuracy, updates))
        sets.append(replace(made, evaluations=(Evaluation("dsa-1000", "pets", (own, whole)),)))
    table = table_rows(section(page(tmp_path, *sets), "summary"))
    assert "trained for 41 updates, a quarter of the 164 of B" in table[1]
    assert "no better than naming the largest class (90.0 %)" in table[1]
    assert "40 epochs, 164 updates" in table[2] and "no better" not in table[2]
    assert all("balanced" in row for row in table[1:3])
    assert "update" not in table[3]


def test_a_set_without_accuracy_is_shown_with_the_command(tmp_path: Path) -> None:
    html = page(tmp_path, *ALIKE, entry("three"))
    row = next(row for row in table_rows(section(html, "summary")) if "C three" in row)
    assert "not evaluated" in row and "4 s" in row
    assert "attar evaluate three.safetensors" in words(section(html, "before-comparing"))


def test_without_any_accuracy_the_rest_is_shown(tmp_path: Path) -> None:
    html = page(tmp_path, entry("one"), entry("two"))
    assert words(section(html, "summary")).count("not evaluated") == 2
    assert "None of them has been evaluated" in words(html)
    assert "accuracy-against-bytes" not in html and 'id="protocol"' not in html


@pytest.mark.parametrize(
    ("other", "said", "heads"),
    [
        (entry("x", 60.0, card="dc-300"), "the same evaluation cards", "convnet3 under dc-300"),
        (entry("x", 60.0, network="alexnet"), "the same networks", "alexnet"),
        (entry("x", 60.0, names=("cat", "dog", "eel")), "numbers of classes", "with 3 classes"),
        (entry("x", 60.0, names=("cat", "eel")), "have different classes", "2 classes (cat, eel)"),
        (entry("x", 60.0, shape=(3, 8, 8)), "differ in size (C×H×W): A: 3×6×4; B: 3×8×8", ""),
        (
            entry("x", 60.0, provenance={"source": "folder:mine"}),
            "made from different data: A: pets; B: folder:mine",
            "",
        ),
        (
            entry("x", 60.0, 61.0, baselines=()),
            "numbers of networks trained differ: A: 1; B: 2",
            "",
        ),
    ],
)
def test_what_is_not_alike_is_said(tmp_path: Path, other: Entry, said: str, heads: str) -> None:
    html = page(tmp_path, entry("a", 70.0), other)
    told = words(section(html, "before-comparing"))
    assert said in told
    assert heads in table_rows(section(html, "summary"))[0]
    if heads:  # a best of one is none
        assert "best" not in "".join(table_rows(section(html, "summary"))[1:])
        assert "No two of them" in words(html)


def test_alike_sets_need_no_warning(tmp_path: Path) -> None:
    assert "before-comparing" not in page(tmp_path, entry("a", 70.0), entry("b", 71.0))


def test_accuracy_is_drawn_against_bytes(tmp_path: Path) -> None:
    html = page(tmp_path, *ALIKE)
    chart = section(html, "accuracy-against-bytes")
    (svg,) = (one for one in Balanced(chart).of("svg"))
    spoken = (svg["aria-label"] or "").replace("\N{NO-BREAK SPACE}", " ")
    for said in (
        "A · one: 71.0 ± 1.0 % at 1728 B",
        "B · two: 80.5 ± 0.5 % at 3456 B",
        "random real images: 50.0 % at 1728 B, 50.0 % at 3456 B",
        "whole training set: 97.0 %",
    ):
        assert said in spoken, said
    assert chart.count('class="dot"') == 2 and chart.count("<polyline") == 2
    assert "log scale" in chart and "bytes stored" in chart
    assert ">A · one<" in chart and ">whole training set<" in chart


def test_every_way_of_measuring_has_its_chart_up_to_six(tmp_path: Path) -> None:
    many = [entry(f"s{n}", 60.0, network=f"net{n}") for n in range(8)]
    html = page(tmp_path, *many)
    chart = section(html, "accuracy-against-bytes")
    assert chart.count("<figure") == 6 and "2 more ways of measuring" in words(chart)


def test_courses_are_overlaid_and_told_apart_without_colour(tmp_path: Path) -> None:
    html = page(tmp_path, *ALIKE, entry("drawn", 50.0, log=[], method="random"))
    runs = section(html, "course-of-the-runs")
    figures = re.findall(r"<figure.*?</figure>", runs, re.DOTALL)
    names = ("Loss over step", "Loss over seconds", "accuracy over step", "accuracy over seconds")
    for figure, name in zip(figures, names, strict=True):
        assert name in words(figure)
        assert 'class="line-0"' in figure and 'class="line-1"' in figure
        assert ">A<" in figure and ">B<" in figure
    # 10 / 1 at the first step and 10 / 40 at the last
    assert "A · one: 1 at step 1, 0.025 at step 40" in figures[0]
    assert "54 after 4" in figures[3]
    text = words(runs)
    assert "Different objectives have different losses" in text
    assert "No losses are logged for C · drawn" in text
    legend = re.search(r'<ul class="legend.*?</ul>', runs, re.DOTALL)
    assert legend and legend[0].count("<li") == 2
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style
    dashes = re.findall(r"\.line-(\d) polyline \{ stroke-dasharray: ([^;]*)", style[1])
    assert len(dashes) == 7 and len({dash for _, dash in dashes}) == 7


def test_images_stand_side_by_side(tmp_path: Path) -> None:
    first, second = entry("a", per_class=2), entry("b", per_class=9, shape=(3, 5, 5))
    album = section(page(tmp_path, first, second), "images-side-by-side")
    head, cat, dog = table_rows(album)
    assert "A · a" in head and "B · b" in head and "cat" in cat and "dog" in dog
    images = decode(album)
    assert [tuple(image.shape) for image in images] == ([(6, 4, 3)] * 2 + [(5, 5, 3)] * 4) * 2
    wanted = (first.artefact.pixels * 255).round().long().permute(0, 2, 3, 1)
    assert (images[6] == wanted[2]).all()
    text = words(album)
    assert "5 more" in text and "9 images per class, the first 4 shown, 5×5×3 pixels" in text


def test_classes_that_are_left_out_are_counted(tmp_path: Path) -> None:
    twelve = tuple(f"class {n}" for n in range(12))
    sets = entry("a", names=twelve), entry("b", names=(*twelve[6:], "other"))
    assert shown_classes(sets) == (list(twelve[6:]), True)
    album = words(section(page(tmp_path, *sets), "images-side-by-side"))
    assert "The first 6 classes that all sets have; 7 more are left out." in album
    album = words(section(page(tmp_path, sets[0], sets[0]), "images-side-by-side"))
    assert "class 9" in album and "class 10" not in album and "2 more are left out" in album


def test_sets_without_a_common_class_show_their_own(tmp_path: Path) -> None:
    sets = entry("a"), entry("b", names=("eel", "fox"))
    assert shown_classes(sets) == (["cat", "dog", "eel", "fox"], False)
    album = section(page(tmp_path, *sets), "images-side-by-side")
    assert album.count("no such class") == 2 * 4


def test_many_sets_stay_small(tmp_path: Path) -> None:
    sets = [entry(f"s{n}", shape=(3, 64, 64), per_class=5) for n in range(12)]
    html = page(tmp_path, *sets)
    assert len(decode(html)) == 12 * 2
    assert len(html) < 3_000_000


def test_settings_that_differ_are_set_apart_from_shared_ones(tmp_path: Path) -> None:
    first = entry("a", settings={"lr": 0.5, "card": "dsa-1000", "extra": {"rank": 2}})
    second = entry("b", settings={"lr": 0.25, "card": "dsa-1000"})
    settings = section(page(tmp_path, first, second), "settings")
    shown, folded = settings.split("<details>")
    rows = table_rows(shown)
    assert any(re.search(r"lr\s+0\.5\s+0\.25", row) for row in rows)
    assert any(re.search(r"extra\.rank\s+2\s+not set", row) for row in rows)
    assert "dsa-1000" not in shown and "dsa-1000" in folded
    assert "settings that all share" in words(folded)
    assert "command" not in facts_of(first.artefact)


def test_the_same_settings_are_said_to_be_so(tmp_path: Path) -> None:
    text = words(section(page(tmp_path, entry("a"), entry("b")), "settings"))
    assert "The settings are the same." in text


def test_hostile_text_is_inert(tmp_path: Path) -> None:
    odd = entry(
        HOSTILE,
        60.0,
        card=HOSTILE,
        network=HOSTILE,
        names=(HOSTILE, "dog"),
        settings={HOSTILE: HOSTILE},
        provenance={"dataset": HOSTILE, "source": HOSTILE, "command": HOSTILE},
    )
    html = page(tmp_path, odd, entry("b", 60.0), title=HOSTILE, notes=[HOSTILE])
    assert html.count("<script") == 1 == html.count(f"<script>{SCRIPT}</script>")
    assert HOSTILE in words(html)


def test_narrow_screens_have_room(tmp_path: Path) -> None:
    html = page(tmp_path, entry("x" * 300, 60.0), entry("b", 61.0))
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style and ".scroll { overflow-x: auto; }" in style[1]
    # wherever a table may be wider than the screen, it can be scrolled, by keyboard as well
    scrolled = [one for one in Balanced(html).of("div") if "scroll" in (one.get("class") or "")]
    assert len(scrolled) == len(Balanced(html).of("table"))
    assert all(one["tabindex"] == "0" and one["aria-label"] for one in scrolled)


def test_one_set_cannot_be_compared(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="two or more"):
        write_comparison(tmp_path / "report.html", ALIKE[:1])


def test_title_and_notes_are_those_given(tmp_path: Path) -> None:
    text = words(page(tmp_path, *ALIKE, title="Mine", notes=["Measured at night."]))
    assert "Mine" in text and "Measured at night." in text
    assert "one and two on pets" in words(page(tmp_path, *ALIKE))
    assert "5 sets of pets" in words(page(tmp_path, *[entry(f"s{n}") for n in range(5)]))


# one set


def test_one_set_shows_every_card_and_network(tmp_path: Path) -> None:
    one = entry("a", 70.0)
    other = Evaluation("dc-300", "pets", (line("condensed", 1, result(60.0)),))
    both = Entry("a", one.artefact, (*one.evaluations, other), one.log)
    write_entry(tmp_path / "a.html", both)
    text = words((tmp_path / "a.html").read_text(encoding="utf-8"))
    for said in ("convnet3 under dsa-1000", "convnet3 under dc-300", "70.0 %", "60.0 %", "97.0 %"):
        assert said in text, said
    write_entry(tmp_path / "b.html", entry("b"), title="Mine")
    text = words((tmp_path / "b.html").read_text(encoding="utf-8"))
    assert "Not evaluated. This does it: attar evaluate b.safetensors" in text and "Mine" in text


# reading


def save(path: Path, per_class: int = 1, accuracy: float | None = None) -> Path:
    make(per_class=per_class).save(path)
    if accuracy is not None:
        row = line("condensed", 1, result(accuracy))
        keep(path, digest(path), Evaluation("dsa-1000", "pets", (row,)))
    return path


def test_entries_are_read_with_what_lies_beside_them(tmp_path: Path) -> None:
    first, second = save(tmp_path / "a.safetensors", 1, 70.0), save(tmp_path / "b.safetensors", 2)
    (tmp_path / "a.log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in course(20)))
    one, two = read_entries([first, second])
    assert (one.name, two.name) == ("a", "b")
    ((protocol, accuracy),) = own_accuracies(one).items()
    assert accuracy == (70.0, 0.0, 1) and protocol.network == "convnet3"
    assert last_step(one.log) == 20 and one.remark == ""
    assert two.remark == "not evaluated" and two.command == f"attar evaluate {second}"
    assert two.log == []


def test_evaluations_of_a_replaced_artefact_are_left_out_with_a_note(tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors", 1, 70.0)
    save(path, 2)
    (one,) = read_entries([path])
    assert one.evaluations == () and "replaced" in one.remark and "left out" in one.remark
    html = page(tmp_path, one, entry("b"))
    assert "a.evaluation.json" in words(section(html, "before-comparing"))


def test_a_broken_file_of_evaluations_is_noted(tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors")
    (tmp_path / "a.evaluation.json").write_text("{")
    assert "not JSON" in read_entries([path])[0].remark


def test_evaluations_kept_elsewhere_find_their_artefact(tmp_path: Path) -> None:
    first, second = save(tmp_path / "a.safetensors"), save(tmp_path / "b.safetensors", 2)
    evaluation = Evaluation("dsa-1000", "pets", (line("condensed", 1, result(64.0)),))
    kept = tmp_path / "elsewhere.json"
    kept.write_text(json.dumps({"sha256": digest(second), **evaluation.as_dict()}))
    one, two = read_entries([first, second], [kept])
    assert not one.evaluations and two.evaluations == (evaluation,) and two.remark == ""
    with pytest.raises(BadRequest, match="of another artefact"):
        read_entries([first], [kept])


def test_names_are_as_short_as_they_may_be() -> None:
    def of(*paths: str) -> list[str]:
        return names([Path(path) for path in paths])

    assert of("x/a.safetensors", "y/b.safetensors") == ["a", "b"]
    assert of("x/a.safetensors", "y/a.safetensors") == ["x/a", "y/a"]
    assert of("a.safetensors", "y/a.safetensors") == ["a", "y/a"]
    assert of("a.safetensors", "a.bin") == ["a.safetensors", "a.bin"]


# parts


def test_signs_are_letters() -> None:
    assert [letter(n) for n in (0, 25, 26, 51, 52, 702)] == ["A", "Z", "AA", "AZ", "BA", "AAA"]


def test_protocols_are_told_by_what_differs() -> None:
    one, two = entry("a", 70.0), entry("b", 71.0, card="dc-300")
    assert list(phrases(protocols_of([one])).values()) == ["convnet3"]
    found = list(phrases(protocols_of([one, two, two])).values())
    assert found == ["convnet3 under dc-300", "convnet3 under dsa-1000"]
    protocol = protocols_of([one, two])[0]
    assert best_of([one, two], protocol) is None and best_of([one, one], protocol) == 0


def test_baselines_are_shown_once_unless_they_contradict_each_other() -> None:
    alike = baselines_of([entry("a", 70.0), entry("b", 71.0)])
    assert [(one.kind, one.beside) for one in alike] == [("random", [0, 1]), ("whole", [0, 1])]
    others = baselines_of([entry("a", 70.0), entry("b", 71.0, baselines=(50.0, 96.0))])
    assert [(one.kind, one.beside) for one in others] == [
        ("random", [0, 1]),
        ("whole", [0]),
        ("whole", [1]),
    ]
    # fewer classes are another task
    apart = baselines_of([entry("a", 70.0), entry("b", 71.0, names=("cat", "eel"))])
    assert [one.beside for one in apart] == [[0], [1], [0], [1]]


def test_course_is_read_from_the_log() -> None:
    log = course(20)
    assert series(log, "validation") == [(10.0, 51.0), (20.0, 52.0)]
    assert timed(log, "validation")[0] == (pytest.approx(1 / 60), 51.0)
    assert minutes(log) == pytest.approx(2 / 60) and minutes([]) is None
    assert last_step(log) == 20 and last_step([]) == 0
    assert relative([(1, 4.0), (2, 1.0)]) == [(1, 1.0), (2, 0.25)]
    assert relative([(1, 0.0), (2, 1.0)]) == [] and relative([]) == []
    assert series([{"step": 1, "loss": "high"}, {"step": 2, "loss": float("inf")}], "loss") == []


@pytest.mark.parametrize("count", [1, 79, 80, 81, 1000])
def test_averages_keep_ends_and_level(count: int) -> None:
    points = [(float(step), 2.0) for step in range(count)]
    kept = averaged(points, 80)
    assert len(kept) == min(count, 80) and kept[0] == points[0] and kept[-1] == points[-1]
    assert {value for _, value in kept} == {2.0}


@pytest.mark.parametrize("sizes", [(1,), (1000,), (2560, 2560), (1, 10**12), (999, 10_001)])
def test_byte_axis_holds_its_sizes(sizes: tuple[int, ...]) -> None:
    axis = byte_axis(sizes)
    assert all(0 < axis(size) < 1 for size in sizes)
    assert 2 <= len(axis.ticks) <= 7
    assert all(0 <= axis(tick) <= 1 for tick in axis.ticks)


def test_labels_do_not_lie_on_one_another() -> None:
    wanted = [(10.0, 50.0), (12.0, 51.0), (10.0, 49.0), (200.0, 50.0)]
    found = settle(wanted, 60, 13)
    heights = sorted(found[:3])
    assert all(b - a >= 13 for a, b in pairwise(heights))
    assert found[3] == 50.0


def test_two_sets_are_laid_over_each_other(tmp_path: Path) -> None:
    html = page(tmp_path, *ALIKE)
    part = section(html, "one-over-the-other")
    [slider] = Balanced(part).of("input")
    assert slider["type"] == "range" and slider["data-second"] == "B · two"
    assert "A · one" in words(part)
    alts = [image["alt"] for image in Balanced(part).of("img")]
    # of 3 and 6 images of each class, those that both have
    assert alts[:2] == ["cat, image 1, A · one", "cat, image 1, B · two"] and len(alts) == 12


def test_sets_of_other_proportions_or_classes_are_not(tmp_path: Path) -> None:
    alike = {"names": ("cat", "dog")}
    for other in (entry("two", names=("cow", "hen")), entry("two", shape=(3, 8, 4), **alike)):
        assert "one-over-the-other" not in page(tmp_path, entry("one", **alike), other)
