"""The command line: parse, call the library, print. Free of torch until a command needs it."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Sequence

# with threads, since what is busy is told from the time since it was imported
from attar import faults, stopping, threads  # noqa: F401
from attar.cli import streams
from attar.cli.clock import CLOCK
from attar.errors import AttarError
from attar.text import printable
from attar.wording import as_options

PROGRAM = "attar"
# set to show where an error comes from
TRACEBACK = "ATTAR_TRACEBACK"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 on success, 2 for a bad request, 1 for a failed run."""
    import warnings

    from attar.memory import keep_memory

    keep_memory()
    warnings.showwarning = _warn  # pyright: ignore[reportAttributeAccessIssue]
    with streams.kept() as out:
        try:
            status = run(sys.argv[1:] if arguments is None else arguments)
        except SystemExit as ended:  # help, or options that cannot be parsed
            status = ended.code if isinstance(ended.code, int) else 0
        out.flush()
        lost = streams.lost(out)
        if lost is not None:
            _say(lost)
            status = status or 1
    sys.exit(status)


def _warn(message: Warning | str, *place: object) -> None:
    _say(message)


def _say(message: object) -> None:
    sys.stderr.write(f"{PROGRAM}: {printable(str(message))}\n")


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status."""
    CLOCK.start()
    if list(arguments) == ["--version"]:
        from attar import __version__

        sys.stdout.write(f"{PROGRAM} {__version__}\n")
        return 0
    # torch cannot be loaded there: its library MKL ends the process (torch 2.15)
    if not faults.working_folder_exists():
        _say(f"{faults.NO_FOLDER}.")
        return 2
    try:
        with stopping.terminated_as_interrupted(), as_options():
            return _run(arguments)
    except KeyboardInterrupt:
        _say("interrupted")
        return 1


def _run(arguments: Sequence[str]) -> int:
    try:
        from attar.cli.commands import parse, with_sets_at_hand

        with_sets_at_hand(parse(arguments)).run()
    except AttarError as error:
        _say(error)
        return error.exit_status
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        _say(faults.in_words(error) or _unforeseen(error))
        return 1
    return 0


def _unforeseen(error: Exception) -> str:
    """Say what nobody thought of, and keep where it came from."""
    first = str(error).strip().partition("\n")[0]
    said = f"an error that was not foreseen ({type(error).__name__}: {faults.shortened(first)})"
    try:
        handle, name = tempfile.mkstemp(prefix="attar-traceback-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            traceback.print_exception(error, file=file)
    except OSError:
        return f"{said}; {TRACEBACK}=1 shows where it comes from."
    return f"{said}; {name} tells where it comes from. What was written before is kept."
