"""Tables as people have them: repeated rows, other columns, ids, classes in columns."""

import os
from pathlib import Path

import pytest

import attar
from attar.data import load_source
from attar.errors import BadRequest
from pictures import write_picture


def table(root: Path, text: str, pictures: dict[str, int] | None = None) -> str:
    """Write a table, and so many pictures called by a pattern of %s."""
    for pattern, count in (pictures or {"some/%s.png": 10}).items():
        for index in range(count):
            write_picture(root / (pattern % index))
    (root / "table.csv").write_text(text, encoding="utf-8")
    return f"csv:{root / 'table.csv'}"


def rows(count: int = 10, pattern: str = "some/{}.png,{}\n", classes: str = "ab") -> str:
    return "".join(pattern.format(i, classes[i % len(classes)]) for i in range(count))


def test_a_row_that_repeats_another_is_counted_once_and_told(tmp_path: Path) -> None:
    source = table(tmp_path, "path,label\n" + rows() + "some/0.png,a\n./some/../some/2.png,a\n")
    splits = load_source(source)
    assert len(splits.train) + len(splits.test) == 10
    assert "2 rows repeat the file and class of another, counted once" in splits.note
    assert "(line 12 repeats line 2)" in splits.note
    # the classes 7 and 07 are one, so this is a repeat too
    text = "path,label\n" + rows(classes="78") + "some/0.png,07\n"
    assert "1 row repeats" in load_source(table(tmp_path, text)).note


@pytest.mark.parametrize("other", ["some/0.png", "link.png", "hard.png"])
def test_one_file_under_two_classes_is_refused(tmp_path: Path, other: str) -> None:
    text = "path,label\n" + rows() + f"{other},b\n"
    source = table(tmp_path, text)
    (tmp_path / "link.png").symlink_to(tmp_path / "some/0.png")
    os.link(tmp_path / "some/0.png", tmp_path / "hard.png")
    with pytest.raises(BadRequest, match=r"lines 2 and 12: the one file .* classes 'a' and 'b'"):
        load_source(source)


def test_one_file_in_two_parts_is_refused(tmp_path: Path) -> None:
    lines = rows(pattern="some/{}.png,{},train\n") + "some/0.png,a,test\n"
    source = table(tmp_path, "path,label,split\n" + lines)
    with pytest.raises(BadRequest, match=r"lines 2 and 12: .* in the parts train and test"):
        load_source(source)


def test_columns_by_name_are_recorded_and_read_again(tmp_path: Path) -> None:
    lines = rows(20, "x,some/{}.png,{}\n")
    source = table(tmp_path, "Note,Picture,Kind\n" + lines, {"some/%s.png": 20})
    with pytest.raises(BadRequest, match=r"Note, Picture, Kind: choose one with --path-column"):
        load_source(source)
    with pytest.raises(BadRequest, match=r"choose one with --label-column"):
        load_source(source, path_column="picture")
    out = tmp_path / "set.safetensors"
    artefact = attar.condense(
        source,
        path_column="Picture",
        label_column="kind",
        method="random",
        synthetic_per_class=1,
        output=out,
        resize=8,
    )
    reading = artefact.header.provenance["reading"]
    assert (reading["path_column"], reading["label_column"]) == ("Picture", "kind")
    assert "--path-column Picture --label-column kind" in artefact.header.provenance["command"]
    assert attar.evaluate(out, networks="convnet1:width=4", repeats=1, epochs=1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"label_column": "lable"}, r"unknown column of .*\(--label-column\) 'lable'.*'label'"),
        ({"label_column": "label,no"}, "'no'"),
        ({"split_column": "part"}, r"\(--split-column\) 'part'"),
    ],
)
def test_unknown_columns_are_refused(tmp_path: Path, given: dict[str, str], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        load_source(table(tmp_path, "path,label\n" + rows()), **given)


def test_columns_go_with_tables_alone() -> None:
    with pytest.raises(BadRequest, match=r"--label-column x: digits has no such column.* csv:"):
        load_source("digits", label_column="x")
    images = [[[0, 1], [1, 0]]] * 4
    with pytest.raises(BadRequest, match=r"split_column='x': these data have no such column"):
        attar.condense((images, [0, 1, 0, 1]), split_column="x")


@pytest.mark.parametrize(
    ("header", "pattern", "pictures"),
    [
        # https://doi.org/10.7910/DVN/DBW86T: lesion_id,image_id,dx,…, in two folders of JPEGs
        ("lesion_id,image_id,dx,dx_type", "L,{},{},histo\n", "HAM10000_images_part_1/%s.jpg"),
        # kaggle.com/c/aptos2019-blindness-detection: train.csv beside train_images
        ("id_code,diagnosis", "{},{}\n", "train_images/%s.png"),
        # ISIC 2020: image_name,…,diagnosis,benign_malignant,target
        ("image_name,sex,diagnosis,benign_malignant,target", "{0},m,d,x,{1}\n", "%s.jpg"),
        # ISIC 2019's one-hot ground truth
        ("image,MEL,NV,UNK", None, "ISIC_2019_Training_Input/%s.jpg"),
    ],
)
def test_tables_as_they_are_distributed(
    tmp_path: Path, header: str, pattern: str | None, pictures: str
) -> None:
    lines = [f"{i},{1 - i % 2}.0,{i % 2}.0,0.0\n" for i in range(10)]
    text = rows(pattern=pattern, classes="01") if pattern else "".join(lines)
    splits = load_source(table(tmp_path, f"{header}\n{text}", {pictures: 10}))
    assert len(splits.train) + len(splits.test) == 10
    assert splits.train.class_names == (("0", "1") if pattern else ("MEL", "NV"))
    assert "10 images found by name below" in splits.note
    assert "classes from the column" in splits.note or "left out, since no" in splits.note


def test_an_id_that_fits_no_picture_or_several_is_refused(tmp_path: Path) -> None:
    source = table(tmp_path, "path,label\n" + rows(pattern="{},{}\n"), {"some/%s.png": 9})
    with pytest.raises(BadRequest, match=r"line 11: there is no file .*9; .*is called '9'"):
        load_source(source)
    write_picture(tmp_path / "some/9.png")
    write_picture(tmp_path / "more/3.bmp")
    with pytest.raises(BadRequest, match=r"line 5: '3' fits several files, such as .*more/3.bmp"):
        load_source(source)
    # the folder that is written tells them apart, and hidden folders are passed over
    (tmp_path / "more").rename(tmp_path / ".more")
    assert len(load_source(source).train) == 8
    write_picture(tmp_path / "deep/some/other/3.png")
    text = "path,label\n" + rows(pattern="some/{},{}\n")
    assert len(load_source(table(tmp_path, text)).train) == 8


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,a,b\n0,1,0\n1,1,1\n", r"line 3: the columns a and b all hold 1.*multi-label"),
        ("image,a,b\n0,1,0\n1,0,0\n", r"line 3: none of the columns a, b holds a 1"),
        ("path,label\n0,a\n1,b\n2,a|b\n", r"line 4: the label 'a\|b' joins .*multi-label"),
        ("path,label\n0,a\n1,b\n2,b; a\n", r"'b; a' joins several .*one class per image"),
        ('path,label\n0,a\n1,b\n2,"a,b"\n', r"'a,b' joins several"),
        # as pandas and json write lists
        ("path,label\n0,['a']\n1,\"['a', 'b']\"\n", r"line 3: .* is a list of several"),
        ('path,label\n0,"[1,0]"\n1,"[0,1]"\n', r"is a list of several.*multi-label"),
    ],
)
def test_several_classes_of_an_image_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        load_source(table(tmp_path, text))


def test_a_separator_in_a_name_alone_makes_no_multi_label_data(tmp_path: Path) -> None:
    text = "path,label\n" + "".join(
        f'{i},"{("Paris, France", "Lyon, France")[i % 2]}"\n' for i in range(10)
    )
    assert load_source(table(tmp_path, text)).train.class_names[1] == "Paris, France"


def test_columns_of_classes_by_name_and_a_split_under_another(tmp_path: Path) -> None:
    lines = [f"{i},{i % 2},{1 - i % 2},1,{('train', 'TEST')[i > 7]}\n" for i in range(10)]
    source = table(tmp_path, "image,ant,bee,male,part\n" + "".join(lines))
    with pytest.raises(BadRequest, match="multi-label"):
        load_source(source)
    splits = load_source(source, label_column="bee,ant")
    assert splits.train.class_names == ("bee", "ant")
    assert (len(splits.train), len(splits.test)) == (8, 2)
    assert "train and test, as the column part says" in splits.note
    with pytest.raises(BadRequest, match=r"line 2: the column part holds 'train'.*0 or 1"):
        load_source(source, label_column="ant,part")


@pytest.mark.parametrize("names", ["path,label,label", "path,Label,label", "path,label,PATH"])
def test_a_column_that_is_there_twice_is_refused(tmp_path: Path, names: str) -> None:
    source = table(tmp_path, f"{names}\n" + rows(pattern="some/{0}.png,{1},c{1}\n"))
    with pytest.raises(BadRequest, match=r"line 1: 2 columns are called .*rename or remove"):
        load_source(source)
    # others that are doubled are not read
    text = "path,label,x,x\n" + rows(pattern="some/{0}.png,{1},,\n")
    assert len(load_source(table(tmp_path, text)).train) == 8
