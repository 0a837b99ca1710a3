"""Two thousand changed files: none ends in a traceback, none loads as what it is not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
SECONDS = 1800


@pytest.mark.slow
def test_two_thousand_changed_files_are_told_or_load_as_they_were(tmp_path: Path) -> None:
    own = f"import sys; sys.path[:0] = [{str(TESTS)!r}, {str(TESTS.parent / 'src')!r}]"
    done = subprocess.run(
        [sys.executable, "-c", f"{own}; from siege.attack import main; main()", tmp_path, "0", "1"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    # shown with -s
    for kind, counts in found["kinds"].items():
        sys.stdout.write(f"{kind}: {counts}\n")
    slowest, largest = found["slowest"], found["largest"] / 1e6
    sys.stdout.write(f"slowest {slowest:.2f} s, largest {largest:.0f} MB\n")
    assert not found["bad"], "\n".join(found["bad"][:20])
    with_checksums = {kind: one for kind, one in found["kinds"].items() if kind != "text"}
    assert sum(one["mutants"] for one in with_checksums.values()) == 2000
