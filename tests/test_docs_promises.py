"""Every test that docs/promises.md names is there."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "promises.md"


def test_every_promise_is_held() -> None:
    page = PAGE.read_text(encoding="utf-8")
    named = re.findall(r"`((?:siege/)?test_\w+\.py)(?:::(test_\w+))?`", page)
    assert len(named) > 60
    for file, function in named:
        tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
        own = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert own and (not function or function in own), f"{file}::{function}"
