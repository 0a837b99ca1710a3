from pathlib import Path

import pytest
import torch

from attar.data import load_source
from attar.errors import BadRequest
from pictures import write_picture

IDS = ("n02", "n01", "n03")
WORDS = "n01\tgoldfish, Carassius auratus\nn02\tcrane, machine\nn03\tcrane\nn09\tunused\n"


def write_tiny(data_dir: Path) -> Path:
    """Write three classes of four training and two validation pictures, one of them gray."""
    root = data_dir / "tiny-imagenet-200"
    for wnid in IDS:
        for index in range(4):
            gray = (wnid, index) == ("n01", 0)
            path = root / "train" / wnid / "images" / f"{wnid}_{index}.JPEG"
            write_picture(path, (8, 8), "L" if gray else "RGB")
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text("0 0 7 7")
    lines = []
    for index in range(6):
        write_picture(root / "val" / "images" / f"val_{index}.JPEG", (8, 8))
        lines.append(f"val_{index}.JPEG\t{IDS[index % 3]}\t0\t0\t7\t7\n")
    write_picture(root / "test" / "images" / "test_0.JPEG", (8, 8))
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    (root / "wnids.txt").write_text("\n".join(IDS) + "\n")
    (root / "words.txt").write_text(WORDS)
    return root


def test_it_is_found_by_name_and_as_a_folder(tmp_path: Path) -> None:
    root = write_tiny(tmp_path)
    found = [
        load_source("tiny_imagenet", data_dir=tmp_path),
        load_source("tiny_imagenet", data_dir=root),
        load_source(f"folder:{root}"),
    ]
    for splits in found:
        assert (len(splits.train), len(splits.test)) == (12, 6)
        assert splits.train.shape == (3, 8, 8)
        assert splits.train.name == "tiny_imagenet"
        assert splits.train.class_names == ("goldfish", "n02", "n03")
        assert splits.test.labels.tolist() == [1, 0, 2, 1, 0, 2]
        assert splits.train.preprocessing.mean == (0.485, 0.456, 0.406)
        assert splits.train.preprocessing.std == (0.229, 0.224, 0.225)
        assert torch.equal(splits.train.images, found[0].train.images)
    gray = found[0].train.images[0]
    assert torch.equal(gray[0], gray[1])


def test_a_slice_keeps_name_constants_and_colour(tmp_path: Path) -> None:
    root = write_tiny(tmp_path)
    for index in range(4):
        write_picture(root / f"train/n01/images/n01_{index}.JPEG", (8, 8), "L")
        write_picture(root / f"train/n02/images/n02_{index}.JPEG", (8, 8), "L")
    (root / "train/n03/images/n03_0.JPEG").write_bytes(b"not read")
    splits = load_source(
        "tiny_imagenet", data_dir=tmp_path, classes="n02,goldfish", per_class=2, resize=4
    )
    assert splits.train.class_names == ("n02", "goldfish")
    assert (len(splits.train), len(splits.test)) == (4, 4)
    assert splits.train.shape == (3, 4, 4)
    assert splits.train.name == "tiny_imagenet"
    assert splits.train.preprocessing.mean == (0.485, 0.456, 0.406)


def test_its_constants_are_for_no_other_range(tmp_path: Path) -> None:
    write_tiny(tmp_path)
    with pytest.raises(BadRequest, match="--range 0:4095: what the values of tiny_imagenet mean"):
        load_source("tiny_imagenet", data_dir=tmp_path, value_range="0:4095")
    with pytest.raises(BadRequest, match="--range 0:4095: what the values of Tiny-ImageNet mean"):
        load_source(f"folder:{tmp_path / 'tiny-imagenet-200'}", value_range="0:4095")


def test_without_words_the_ids_are_the_names(tmp_path: Path) -> None:
    (write_tiny(tmp_path) / "words.txt").unlink()
    splits = load_source("tiny_imagenet", data_dir=tmp_path)
    assert splits.train.class_names == ("n01", "n02", "n03")


def test_where_it_is_not_it_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(BadRequest) as refusal:
        load_source("tiny_imagenet", data_dir=tmp_path)
    for word in (
        str(tmp_path / "tiny-imagenet-200"),
        "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        "--data-dir",
    ):
        assert word in str(refusal.value)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    root = write_tiny(tmp_path)
    annotations = root / "val/val_annotations.txt"
    whole = annotations.read_text()
    for text, words in (
        (whole + "val_9.JPEG\tn01\t0\n", "line 7: val/images lacks val_9.JPEG"),
        (whole.replace("val_1.JPEG\tn01", "val_1.JPEG\tn77"), "line 2: the class 'n77' is not"),
        ("val_1.JPEG\n", "line 1: the class '' is not"),
        ("", "is empty"),
    ):
        annotations.write_text(text)
        with pytest.raises(BadRequest, match=words):
            load_source("tiny_imagenet", data_dir=tmp_path)
    annotations.write_text(whole)
    for path in (root / "train/n02/images").iterdir():
        path.unlink()
    with pytest.raises(BadRequest, match=r"n02/images holds no .JPEG files; unpack http"):
        load_source("tiny_imagenet", data_dir=tmp_path)
