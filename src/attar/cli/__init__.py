"""The command line: parse, call the library, print. Free of torch until a command needs it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

# with threads, since what is busy is told from the time since it was imported
from attar import stopping, threads  # noqa: F401
from attar.cli.clock import CLOCK
from attar.errors import AttarError
from attar.text import printable

PROGRAM = "attar"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 on success, 2 for a bad request, 1 for a failed run."""
    import warnings

    from attar.memory import keep_memory

    keep_memory()
    warnings.showwarning = _warn  # pyright: ignore[reportAttributeAccessIssue]
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def _warn(message: Warning | str, *place: object) -> None:
    sys.stderr.write(f"{PROGRAM}: {printable(str(message))}\n")


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status."""
    CLOCK.start()
    if list(arguments) == ["--version"]:
        from attar import __version__

        sys.stdout.write(f"{PROGRAM} {__version__}\n")
        return 0
    try:
        with stopping.terminated_as_interrupted():
            return _run(arguments)
    except KeyboardInterrupt:
        sys.stderr.write(f"{PROGRAM}: interrupted\n")
        return 1


def _run(arguments: Sequence[str]) -> int:
    try:
        from attar.cli.commands import parse

        parse(arguments).run()
    except AttarError as error:
        sys.stderr.write(f"{PROGRAM}: {error}\n")
        return error.exit_status
    except BrokenPipeError:
        # the reader of our output has seen enough
        sys.stderr.close()
    return 0
