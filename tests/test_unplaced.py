import pytest

from attar.unplaced import unplaced, without_folders


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("folder:/home/me/my cats", "folder:my cats"),
        ("/data/x.npz", "x.npz"),
        ("npy:/a/b.npy,/a/c.npy", "npy:b.npy,c.npy"),
        ("folder:/home/me,you/cats", "folder:cats"),
        ("hf:/home/me/set:train", "hf:set:train"),
        ("wds:~/a/b/zoo-{000..009}.tar", "wds:zoo-{000..009}.tar"),
        ("wds:{/home/a b/x.tar,/home/c d/y.tar}", "wds:{x.tar,y.tar}"),
        ("wds:{/home/a b/x-{0..9}.tar, ~/y.tar}", "wds:{x-{0..9}.tar,y.tar}"),
        ("wds:{/home/a b,/home/c d}/x.tar", "wds:x.tar"),
        ("attar condense 'wds:{/home/a b/x,/c d/y}' -o s", "attar condense 'wds:{x,y}' -o s"),
        ("folder:C:\\Users\\me\\cats", "folder:cats"),
        ("folder:C:/Users/me/cats", "folder:cats"),
        ("\\\\server\\share\\me", "me"),
        ("../../me/x", "x"),
        ("~/x/y/", "y"),
        ("see file:///home/me/x.", "see x."),
        ("convnet3:/home/me/my secret/t.pth", "convnet3:t.pth"),
        ("convnet3:norm=batch:/home/me/my secret/t.pth", "convnet3:norm=batch:t.pth"),
        ("--teacher 'resnet18:/home/my secret/t.pth' -o s", "--teacher 'resnet18:t.pth' -o s"),
        ("attar condense '/home/me/a b' -o s", "attar condense 'a b' -o s"),
        ("attar evaluate /home/me/a.safetensors --ipc 2", "attar evaluate a.safetensors --ipc 2"),
    ],
)
def test_a_place_on_this_machine_becomes_its_name(text: str, told: str) -> None:
    assert unplaced(text) == told


@pytest.mark.parametrize(
    "text",
    [
        "hf:owner/name",
        "https://huggingface.co/datasets/a/b",
        "folder:photos/cats",
        "20 % (train / test) and/or 1/2 of mean/std",
        "wds:zoo-{000..009}.tar",
    ],
)
def test_everything_else_stays(text: str) -> None:
    assert without_folders(text) == text == unplaced(text)


def test_a_path_with_blanks_is_found_in_sentences() -> None:
    told = {
        "source": "folder:/home/me/my secret/my cats",
        "note": "the folder /home/me/my secret/my cats has no parts",
        "merged": [{"n": (1, "/a/b")}],
    }
    assert unplaced(told) == {
        "source": "folder:my cats",
        "note": "the folder my cats has no parts",
        "merged": [{"n": (1, "b")}],
    }
    told = {"source": "wds:{/a b/x,/c d/y}", "note": "no samples in {/a b/x,/c d/y}"}
    assert unplaced(told) == {"source": "wds:{x,y}", "note": "no samples in {x,y}"}
