from pathlib import Path

import numpy as np
import pytest

from attar.data import as_splits, load_source
from attar.errors import BadRequest
from pictures import write_picture


def write_table(root: Path, lines: list[str], header: str = "path,label") -> str:
    (root / "table.csv").write_text("\n".join([header, *lines]), encoding="utf-8")
    return f"csv:{root / 'table.csv'}"


def pictures(root: Path, count: int = 10) -> list[str]:
    for index in range(count):
        write_picture(root / f"some/{index}.png")
    return [f"some/{index}.png" for index in range(count)]


def test_paths_are_relative_to_the_table_or_absolute(tmp_path: Path) -> None:
    names = pictures(tmp_path)
    given = write_picture(tmp_path / "elsewhere/one.png")
    lines = [f"{name},{'bee' if index % 2 else 'ant'}" for index, name in enumerate(names)]
    lines = [f"{line},train" for line in lines] + [f"{tmp_path / 'elsewhere/one.png'},bee,test"]
    splits = load_source(write_table(tmp_path, ["", *lines, ""], "path,label,split"))
    assert splits.train.class_names == ("ant", "bee")
    assert splits.train.labels.tolist() == [0, 1] * 5
    assert splits.train.name == "table"
    assert np.array_equal(splits.test.images[0].permute(1, 2, 0).numpy(), given)
    assert "train and test, as the column split" in splits.note
    assert as_splits(tmp_path / "table.csv").train.shape == (3, 4, 6)


@pytest.mark.parametrize(
    "header", ["File;Class", "\ufefffilename\tlabel", "image,label", ' "path" ,label']
)
def test_other_columns_and_separators(tmp_path: Path, header: str) -> None:
    separator = next(one for one in ";\t," if one in header)
    lines = [f"{name}{separator}{'ab'[i % 2]}" for i, name in enumerate(pictures(tmp_path))]
    splits = load_source(write_table(tmp_path, lines, header))
    assert (len(splits.train), len(splits.test)) == (8, 2)
    assert "held out" in splits.note


def test_whole_numbers_are_ordered_as_numbers(tmp_path: Path) -> None:
    names = pictures(tmp_path)
    labels = ["10", "9", "09", "-1", "10"] * 2
    lines = [f"{name},{label}" for name, label in zip(names, labels, strict=True)]
    splits = load_source(write_table(tmp_path, lines))
    assert splits.train.class_names == ("-1", "9", "10")
    lines = [line.replace(",09", ",ten") for line in lines]
    assert load_source(write_table(tmp_path, lines)).train.class_names[-1] == "ten"


def test_val_is_the_test_part_where_there_is_no_other(tmp_path: Path) -> None:
    names = pictures(tmp_path, 12)
    parts = ["Training"] * 8 + ["val"] * 2 + ["validation"] * 2
    lines = [f"{name},{'ab'[i % 2]},{parts[i]}" for i, name in enumerate(names)]
    splits = load_source(write_table(tmp_path, lines, "path,label,split"))
    assert (len(splits.train), len(splits.test)) == (8, 4)
    assert "val (as test)" in splits.note
    lines[-2:] = [line.replace("validation", "test") for line in lines[-2:]]
    splits = load_source(write_table(tmp_path, lines, "path,label,split"))
    assert len(splits.test) == 2
    assert splits.validation is not None and "val (as validation)" in splits.note


@pytest.mark.parametrize(
    ("header", "lines", "words"),
    [
        ("where,label", [], r"line 1: there is no column path \(or file.*columns are where, label"),
        ("path,what", [], r"line 1: there is no column label \(or class\)"),
        ("", [], r"columns are \(none\)"),
        ("path,label", [], "no rows of the training part"),
        ("path,label", ["some/0.png,a", "", "no.png,b"], "line 4: there is no file .*no.png"),
        ("path,label", ["some/0.png,a", "some,b"], "line 3: there is no file"),
        ("path,label", ["some/0.png,"], "line 2: the column label is empty"),
        ("path,label", ["some/0.png,a,b"], r"line 2: 3 values for the 2 columns \(path, label\)"),
        ("path,label", ["some/0.png,a"], "class 'a' has one image"),
        ("path,label,split", ["some/0.png,a,tset"], "line 2: unknown split 'tset'; write train"),
        ("path,label,split", ["some/0.png,a,"], "unknown split ''"),
        ("path,label,split", ["some/0.png,a,test"], "no rows of the training part"),
        (
            "path,label,split",
            ["some/0.png,a,train", "some/1.png,b,train", "some/2.png,c,test"],
            "line 4: no training row has the class 'c'",
        ),
        ("path,label", ["some/0.png,a", "some/1.png,b"], "class 'a' has one image"),
    ],
)
def test_refusals_name_the_line(tmp_path: Path, header: str, lines: list[str], words: str) -> None:
    pictures(tmp_path, 3)
    with pytest.raises(BadRequest, match=words):
        load_source(write_table(tmp_path, lines, header))


def test_refused_files(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"nothing.csv does not exist; give a CSV file"):
        load_source(f"csv:{tmp_path / 'nothing.csv'}")
    with pytest.raises(BadRequest, match="is a folder, not a file"):
        load_source(f"csv:{tmp_path}")
    (tmp_path / "table.csv").write_bytes(b"path,label\n\xff\xfe,1\n")
    with pytest.raises(BadRequest, match="cannot be read as a CSV file in UTF-8"):
        load_source(f"csv:{tmp_path / 'table.csv'}")
    with pytest.raises(BadRequest, match="for a table write csv:"):
        load_source(str(tmp_path / "table.csv"))


def test_only_pictures_of_the_slice_are_decoded(tmp_path: Path) -> None:
    names = pictures(tmp_path, 12)
    lines = [f"{name},{'abc'[i % 3]}" for i, name in enumerate(names)]
    source = write_table(tmp_path, lines)
    (tmp_path / "some/2.png").write_bytes(b"no picture, of class c")
    with pytest.raises(BadRequest, match=r"2.png cannot be read"):
        load_source(source)
    assert load_source(source, classes="b,a").train.class_names == ("b", "a")
