"""The order of ideas: what may import what, and what must not cost a user's time."""

import ast
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "src" / "attar"
# every part may import those above it, not those below
ORDER = (
    ("text", "lazy"),
    ("errors", "rng", "memory", "lamb", "zipped", "stopping", "faults"),
    ("files", "locking", "kinds", "budget", "published", "cluster", "threads", "checksums"),
    ("stored",),
    ("request", "tensors", "log", "capacity"),
    ("compute", "paying"),
    ("data",),
    ("networks",),
    ("synthetic", "coresets"),
    ("objectives", "partial"),
    ("engine",),
    ("card",),
    ("artefact",),
    ("checks",),
    ("loading",),
    ("evaluation",),
    ("experts",),
    ("recipes",),
    ("settling", "fingerprint", "starting", "selecting"),
    ("plan", "exporting", "importing", "merging"),
    ("planning", "outcome", "checkpoint", "listening", "snapshots", "pacing", "validating"),
    ("paths", "estimating", "compiling"),
    ("session", "continuing"),
    ("condensing",),
    ("slimming",),
    ("comparing",),
    ("report",),
    ("pictures", "benching"),
    ("cli",),
    ("__main__",),
)
RANK = {name: rank for rank, level in enumerate(ORDER) for name in level}


# these modules of `evaluation` run methods, and so stand above them
COMPARING = {f"evaluation.{name}" for name in ("baselines", "ceiling", "comparing", "comparison")}


def part(names: Sequence[str]) -> str:
    return "comparing" if ".".join(names[:2]) in COMPARING else names[0]


def part_of(path: Path) -> str:
    return part(path.relative_to(ROOT).with_suffix("").parts)


def imported_parts(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module]
            if node.module == "attar":
                names = [f"attar.{alias.name}" for alias in node.names if alias.name[0] != "_"]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {part(name.split(".")[1:]) for name in names if name.startswith("attar.")}
    return found


FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_upwards(path: Path) -> None:
    own = part_of(path)
    for other in imported_parts(path) - {own}:
        assert RANK[other] < RANK[own], f"{own} must not import {other}"


def test_every_part_has_its_place() -> None:
    assert {part_of(path) for path in FILES} == set(RANK)


@pytest.mark.parametrize(
    "code",
    [
        "import attar",
        "import attar; attar.BadRequest; attar.Request",
        "from attar.cli import run; run(['--help'])",
        "from attar.cli import run; run(['condense', '--help'])",
        "from attar.cli import run; run(['methods'])",
        "from attar.cli import run; run(['cards'])",
        "from attar.cli import run; run(['published'])",
        "from attar.cli import run; run(['sources'])",
        "from attar.cli import run; run(['sources', '--json'])",
        "from attar.cli import run; run(['networks'])",
        "from attar.cli import run; run(['networks', '--json'])",
        "import attar.data, attar.networks, attar.evaluation, attar.recipes",
    ],
)
def test_help_needs_no_torch(code: str) -> None:
    heavy = "{'torch', 'torchvision', 'sklearn', 'matplotlib', 'scipy'} & set(sys.modules)"
    wrapped = (
        f"import sys\ntry:\n    {code}\nexcept SystemExit: pass\nassert not ({heavy}), {heavy}"
    )
    done = subprocess.run([sys.executable, "-c", wrapped], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_public_names_are_all_there() -> None:
    import attar

    for name in attar.__all__:
        assert getattr(attar, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = attar.nothing
