import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from attar.condensing.log import Log, read_log
from attar.errors import RunFailed


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_losses_and_validations_are_lines_of_json(tmp_path: Path) -> None:
    log = Log(tmp_path / "new" / "set.log.jsonl")
    log.open(0)
    log.step(1, 2.5, 0.12345)
    log.validation(1, 33.25)
    log.close()
    assert lines(tmp_path / "new" / "set.log.jsonl") == [
        {"step": 1, "loss": 2.5, "seconds": 0.123},
        {"step": 1, "validation": 33.25},
    ]


def test_every_loss_up_to_100_then_every_tenth(tmp_path: Path) -> None:
    log = Log(tmp_path / "a")
    log.open(0)
    for step in range(1, 131):
        log.step(step, 0.0, 0.0)
    log.validation(127, 50.0)
    log.close()
    steps = [row["step"] for row in lines(tmp_path / "a")]
    assert steps == [*range(1, 101), 110, 120, 130, 127]


def test_a_new_run_starts_a_new_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('{"step": 5, "loss": 1}\n')
    log = Log(tmp_path / "a")
    log.open(0)
    log.close()
    assert (tmp_path / "a").read_text() == ""


def test_a_resumed_run_keeps_what_it_will_not_do_again(tmp_path: Path) -> None:
    path = tmp_path / "a"
    rows = [
        {"step": 1, "loss": 1.0},
        {"step": 2, "loss": 0.5},
        {"step": 2, "validation": 40.0},
        {"step": 3, "loss": 0.25},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 4, "lo')
    log = Log(path)
    log.open(2)
    log.step(3, 0.125, 1.0)
    log.close()
    assert lines(path) == [*rows[:3], {"step": 3, "loss": 0.125, "seconds": 1.0}]


def test_a_resumed_run_without_its_log_starts_one(tmp_path: Path) -> None:
    log = Log(tmp_path / "a")
    log.open(2)
    log.step(3, 0.5, 1.0)
    log.close()
    assert [row["step"] for row in lines(tmp_path / "a")] == [3]


def test_flush_hands_the_lines_over(tmp_path: Path) -> None:
    log = Log(tmp_path / "a")
    log.open(0)
    log.step(1, 0.5, 1.0)
    log.flush()
    assert [row["step"] for row in lines(tmp_path / "a")] == [1]
    log.close()


def test_no_path_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log = Log(None)
    log.open(0)
    log.step(1, 0.5, 1.0)
    log.validation(1, 5.0)
    log.flush()
    log.close()
    assert list(tmp_path.iterdir()) == []


def test_close_twice_is_fine(tmp_path: Path) -> None:
    log = Log(tmp_path / "a")
    log.open(0)
    log.close()
    log.close()
    log.step(1, 0.5, 1.0)  # after the end: nothing
    assert (tmp_path / "a").read_text() == ""


def test_read_log_stops_at_a_line_cut_off(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert read_log(tmp_path / "a") == [{"step": 1}, {"step": 2}]
    assert read_log(tmp_path / "none") == []


def test_a_folder_in_the_way_is_a_failed_run(tmp_path: Path) -> None:
    with pytest.raises(RunFailed) as caught:
        Log(tmp_path).open(0)
    assert str(caught.value).startswith(f"could not write {tmp_path}: Is a directory. Free")


def test_what_is_no_log_has_no_rows(tmp_path: Path) -> None:
    assert read_log(tmp_path) == read_log(tmp_path / "none") == []
    odd = tmp_path / "odd.jsonl"
    odd.write_bytes(b"\xff\xfe")
    assert read_log(odd) == []
    odd.write_text('[1]\n{"loss": 2}\n{"step": 3, "loss": 0.5}\n', encoding="utf-8")
    assert read_log(odd) == [{"step": 3, "loss": 0.5}]


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("how", ["step", "flush", "close"])
def test_a_full_disk_is_a_failed_run_whenever_it_shows(how: str) -> None:
    log = Log(FULL)
    log.open(0)
    with pytest.raises(RunFailed, match="could not write /dev/full: No space left on device"):
        # one line stays in the buffer; a thousand do not
        for _ in range(1000 if how == "step" else 1):
            log.step(1, 0.5, 1.0)
        if how != "step":
            getattr(log, how)()
    with contextlib.suppress(RunFailed):  # what is left in a buffer may fail once more
        log.close()
    log.close()
