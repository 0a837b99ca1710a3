"""The order of ideas: what may import what, and what must not cost a user's time."""

import ast
import graphlib
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "src" / "attar"
# every part may import those above it, not those below
ORDER = (
    ("lazy", "places", "shapes", "unplaced", "wording"),
    ("text",),
    ("console",),
    ("errors", "rng", "memory", "zipped", "stopping", "faults", "adabelief", "lamb", "sgd"),
    ("renaming", "hub"),
    ("files", "locking", "kinds", "budget", "registry", "published", "threads", "checksums"),
    ("options", "optimisers", "augmentation", "parallel", "stored"),
    ("tensors", "capacity", "coding", "pickled"),
    ("compute", "paying"),
    ("data",),
    ("networks", "storage"),
    ("synthetic", "kernels"),
    ("artefact",),
    ("training",),
    ("experts",),
    ("teachers",),
    ("coresets", "objectives"),
    ("methods",),
    ("condensing",),
    ("evaluation",),
    ("importing", "slimming", "testing"),
    ("report",),
    ("pictures", "benching", "watching"),
    ("applications",),
    ("sharing",),
    ("face",),
    ("cli",),
    ("__main__",),
)
RANK = {name: rank for rank, level in enumerate(ORDER) for name in level}


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imported_modules(path: Path) -> set[str]:
    """Return the modules, and names in them, that a module imports wherever it does."""
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
        if isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name for name in names if name.startswith("attar.")}
    return found


def imported_parts(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imported_modules(path) if "._" not in name}


FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_upwards(path: Path) -> None:
    own = part_of(path)
    for other in imported_parts(path) - {own}:
        assert RANK[other] < RANK[own], f"{own} must not import {other}"


def test_no_module_imports_itself_through_others() -> None:
    known = {
        ".".join(("attar", *path.relative_to(ROOT).with_suffix("").parts)): path for path in FILES
    }
    asked = {name: imported_modules(path) & known.keys() for name, path in known.items()}
    # raises where modules import each other in a circle
    graphlib.TopologicalSorter(asked).prepare()


def test_every_part_has_its_place() -> None:
    assert {part_of(path) for path in FILES} == set(RANK)


# what only one form has; `methods` choose forms, `testing` tries each, others ask the one given
CONCRETE = {
    "Decoded", "Frequency", "LowRank", "OrderedSVD", "Pixels", "Resized", "Tiled",
    "DecodedImages", "Enlarged", "OrderedImages", "OrderedLabels", "Tiles", "Waves",
}  # fmt: skip
CHOOSE_FORMS = {"synthetic", "methods", "testing"}


def form_questions(path: Path) -> list[str]:
    """Return where a module names a certain form, or looks for the form inside one."""
    found = [
        name
        for name in imported_modules(path)
        if name.startswith("attar.synthetic.") and set(name.split(".")) & CONCRETE
    ]
    found += [name for name in imported_modules(path) if "synthetic.forms." in name]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in CONCRETE:
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "getattr":
            told = ast.unparse(node)
            if "'base'" in told and "objective" not in told:
                found.append(f"line {node.lineno}: {told}")
    return found


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if part_of(path) not in CHOOSE_FORMS],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_nobody_asks_which_form_a_set_is_stored_in(path: Path) -> None:
    assert form_questions(path) == []


def test_questions_about_forms_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "asks.py"
    lines = (
        "from attar.synthetic import Tiled",
        "import attar.synthetic",
        "def f(form): return isinstance(form, attar.synthetic.Pixels)",
        "def g(form): return getattr(form, 'base', form)",
    )
    path.write_text("\n".join(lines), encoding="utf-8")
    assert len(form_questions(path)) == 3


def test_networks_are_trained_in_one_place() -> None:
    for part in ("coresets", "objectives", "experts", "evaluation"):
        for path in (ROOT / part).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert "torch.optim" not in text and ".backward()" not in text, path


@pytest.mark.parametrize(
    "code",
    [
        "import attar",
        "import attar; attar.BadRequest; attar.Request; attar.EvaluationCallback",
        "import attar; attar.list_methods(), attar.list_networks(), attar.list_sources()",
        "import attar; attar.list_cards(), attar.list_tables(), attar.methods.METHODS",
        "from attar.cli import run; run(['--help'])",
        "from attar.cli import run; run(['condense', '--help'])",
        "from attar.cli import run; run(['methods'])",
        "from attar.cli import run; run(['cards'])",
        "from attar.cli import run; run(['published'])",
        "from attar.cli import run; run(['sources'])",
        "from attar.cli import run; run(['sources', '--json'])",
        "from attar.cli import run; run(['networks'])",
        "from attar.cli import run; run(['networks', '--json'])",
        "import attar.data, attar.networks, attar.evaluation, attar.methods",
    ],
)
def test_help_needs_no_torch(code: str) -> None:
    heavy = "{'torch', 'torchvision', 'sklearn', 'matplotlib', 'scipy'} & set(sys.modules)"
    wrapped = (
        f"import sys\ntry:\n    {code}\nexcept SystemExit: pass\nassert not ({heavy}), {heavy}"
    )
    done = subprocess.run([sys.executable, "-c", wrapped], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


SHAPED = """
import sys
from attar.condensing.composition import form_of
from attar.methods import Task
from attar.synthetic import Layout
from attar.synthetic.forms import PARAMETRIZATIONS

before = set(sys.modules)
for text in (*PARAMETRIZATIONS, "frequency:chosen=class", "frequency:chosen=image"):
    form = form_of(text, Task("cifar10", 10, (3, 32, 32), 10))
    assert form.shapes(Layout(10, 10, (3, 32, 32)), learned_labels=True), text
    found = {"sympy", "torch._dynamo", "torch._inductor"} & (set(sys.modules) - before)
    assert not found, (text, found)
"""


def test_shapes_of_a_form_need_no_compiler() -> None:
    """Reading a set asks for them; torch 2.15 imports its compiler for ``eye`` without memory.

    2.7 imports sympy for whatever has none.
    """
    if tuple(map(int, version("torch").split("+")[0].split(".")[:2])) < (2, 15):
        pytest.skip("torch before 2.15")
    done = subprocess.run([sys.executable, "-c", SHAPED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_public_names_are_all_there() -> None:
    import attar

    for name in attar.__all__:
        assert getattr(attar, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = attar.nothing


BARE = """
import importlib, os, pkgutil, signal, sys
import attar

def every():
    for one in pkgutil.walk_packages(attar.__path__, "attar."):
        if not one.name.endswith("__main__"):
            importlib.import_module(one.name)

every()  # other packages import what they need of this system
for name in [one for one in sys.modules if one.split(".")[0] == "attar"]:
    del sys.modules[name]
for name in ("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"):
    sys.modules[name] = None
for place, names in (
    (os, "fork forkpty geteuid getloadavg getuid killpg mkfifo O_DIRECTORY O_NOFOLLOW posix_spawn "
     "pread pwrite sched_getaffinity setsid uname wait4"),
    (signal, "SIGALRM SIGCHLD SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGUSR1 SIGUSR2 alarm"),
):
    for name in names.split():
        if hasattr(place, name):
            delattr(place, name)
import attar
every()
"""


def test_nothing_of_one_system_alone_is_needed_to_import_a_module() -> None:
    done = subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
