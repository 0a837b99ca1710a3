"""What the C library keeps of freed memory."""

import os
import platform
import subprocess
import sys

import pytest


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="no other library tells")
def test_what_is_freed_and_kept_is_told() -> None:
    code = (
        "from attar.memory import keep_memory, kept_memory\n"
        "assert keep_memory()\n"
        "block = bytearray(2**26)\n"
        "before = kept_memory()\n"
        "del block\n"
        "print(kept_memory() - before)"
    )
    environment = {**os.environ, "ATTAR_ALLOCATOR": ""}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert int(found.stdout) >= 0.9 * 2**26
