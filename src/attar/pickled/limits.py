"""How much a pickle may ask for: it is a program, which can run long and make anything large."""

from __future__ import annotations

import encodings
from encodings.aliases import aliases
from typing import IO, Any

# a set of images has some hundred operations for each tensor, and as many for its accuracies
_OPERATIONS = 500_000
_CALLS = 100_000
_BYTES = 64 * 2**20
# Python recurses through tuples where they are keys, without looking at its stack
_DEPTH = 100
_TUPLES = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")
_CALLING = ("REDUCE", "NEWOBJ", "NEWOBJ_EX", "BUILD", "INST", "OBJ", "BINPERSID", "PERSID")
ENCODE = "_codecs.encode"
# encodings that make more of what they are given, or take long; pickles write bytes as latin1
_GROWING = {
    *("base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec"),
    *("zlib_codec", "utf_7", "idna", "punycode", "unicode_escape", "raw_unicode_escape"),
}
_ENCODINGS = _GROWING | {name for name, encoding in aliases.items() if encoding in _GROWING}


class Measured:
    """The beginning of a file, of which no more is read than pickles of tensors have."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = _BYTES

    def read(self, size: int) -> bytes:
        """Return this many bytes, or what there is."""
        return self._counted(self._file.read(min(size, self._left + 1)))

    def readline(self) -> bytes:
        """Return the rest of a line."""
        return self._counted(self._file.readline(self._left + 1))

    def _counted(self, content: bytes) -> bytes:
        self._left -= len(content)
        if self._left < 0:
            raise ValueError(f"its pickle is longer than {_BYTES >> 20} MiB")
        return content


class Account:
    """Counts what one pickle asks for, operation by operation.

    Raises:
        ValueError: by `add`, once it is more than any file of tensors asks for.
    """

    def __init__(self) -> None:
        self._operations = self._calls = self._longest = 0
        self._encodes = False
        self._odd = ""
        self._depths: list[int] = []
        self._marks: list[int] = []
        self._memory: dict[int, int] = {}

    def add(self, operation: Any, argument: Any) -> None:
        """Count one operation with its argument, as `pickletools` gives them."""
        name = operation.name
        self._operations += 1
        self._calls += name in _CALLING
        if isinstance(argument, str | bytes):
            self._note_text(argument)
        if self._operations > _OPERATIONS or self._calls > _CALLS:
            raise ValueError(f"its pickle has more than {_OPERATIONS} operations or {_CALLS} calls")
        if self._encodes and self._odd:
            raise ValueError(f"its pickle makes bytes by the encoding {self._odd!r}")
        if self._encodes and self._calls * self._longest > _BYTES:
            raise ValueError(f"its pickle makes more than {_BYTES >> 20} MiB of bytes")
        self._note_depth(operation, argument)

    def _note_text(self, text: str | bytes) -> None:
        self._longest = max(self._longest, len(text))
        if isinstance(text, str) and len(text) < 40:
            if text.replace(" ", ".") == ENCODE:
                self._encodes = True
            elif encodings.normalize_encoding(text.lower()) in _ENCODINGS:
                self._odd = text

    def _note_depth(self, operation: Any, argument: Any) -> None:
        """Follow the stack of the machine that reads pickles, with depths in place of values."""
        name, depths = operation.name, self._depths
        if name == "MARK":
            self._marks.append(len(depths))
            return
        taken = self._taken(operation)
        if isinstance(argument, int) and name.endswith("PUT"):
            self._memory[argument] = max(taken, depths[-1] if depths else 0)
        elif isinstance(argument, int) and name.endswith("GET"):
            taken = self._memory.get(argument, 0)
        depth = taken + (name in _TUPLES)
        if depth > _DEPTH:
            raise ValueError(f"its pickle nests tuples more than {_DEPTH} deep")
        depths += [depth] * len(operation.stack_after)

    def _taken(self, operation: Any) -> int:
        """Take from the stack what an operation takes, and return the greatest depth in it."""
        before = [one.name for one in operation.stack_before]
        count = len(before)
        if "mark" in before:
            begin = self._marks.pop() if self._marks else 0
            count = len(self._depths) - begin + before.index("mark")
        if not count:
            return 0
        taken = self._depths[-count:]
        del self._depths[-count:]
        return max(taken, default=0)
