"""Files that no honest code writes, for the tests of importing; what they would run only touches
a file of the test's own.
"""

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import torch

from peer_files import (
    class_by_class,
    hallucinators,
    inputs,
    write_dc,
    write_flax,
    write_haba,
    write_mtt,
)

# writes files of one set into a folder and returns those to give to `attar import`
Maker = Callable[[Path], list[Path]]


class Call:
    """A pickle of this calls a function when it is loaded carelessly."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.asked = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.asked


# operations of pickles, written out


def text(value: str) -> bytes:
    """Return the operation that puts a text on the stack."""
    content = value.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def number(value: int) -> bytes:
    """Return the operation that puts a whole number on the stack."""
    content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def named(module: str, name: str) -> bytes:
    """Return the operation that names a function."""
    return f"c{module}\n{name}\n".encode()


def program(*operations: bytes) -> bytes:
    """Return a pickle of these operations."""
    return b"\x80\x02" + b"".join(operations) + b"."


def tensor(shape: tuple[int, ...], strides: tuple[int, ...], stored: int, more: str = "") -> bytes:
    """Return the operations that make a float32 tensor of so many stored values.

    Args:
        shape: of the tensor.
        strides: likewise.
        stored: values that are said to be stored.
        more: ``legacy`` for the older form, which also says of what the values are a part.
    """
    storage = text("storage") + named("torch", "FloatStorage") + text("0") + text("cpu")
    storage = b"(" + storage + number(stored) + (b"N" if more else b"") + b"tQ"
    sizes = b"".join(b"(" + b"".join(map(number, part)) + b"t" for part in (shape, strides))
    hooks = named("collections", "OrderedDict") + b")R"
    rebuilt = named("torch._utils", "_rebuild_tensor_v2")
    return rebuilt + b"(" + storage + number(0) + sizes + b"\x89" + hooks + b"tR"


def zipped(path: Path, content: bytes, values: bytes = bytes(4), **more: bytes) -> Path:
    """Write a file of torch.save around a pickle."""
    members = {"data.pkl": content, "data/0": values, "version": b"3\n", "byteorder": b"little"}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, member in (members | more).items():
            archive.writestr(f"archive/{name}", member)
    return path


def legacy(path: Path, content: bytes, keys: bytes = b"", values: bytes = b"") -> Path:
    """Write a file of torch.save in its older form around a pickle."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    beginning = [0x1950A86A20F9469CFC6C, 1001, system]
    parts = [pickle.dumps(part, protocol=2) for part in beginning]
    path.write_bytes(b"".join((*parts, content, keys or program(b"]"), values)))
    return path


def plainly(path: Path, content: bytes) -> Path:
    """Write a pickle alone."""
    path.write_bytes(content)
    return path


WRITERS: dict[str, Callable[[Path, bytes], Path]] = {
    "zip": zipped,
    "old": legacy,
    "plain": plainly,
}


def pickled_demands() -> dict[str, bytes]:
    """Return pickles that ask for more than tensors need."""
    latin, twice = text("latin1"), named("_codecs", "encode")
    encoded = twice + b"(" + text("a" * 1000) + latin + b"tR"
    again = b"q\x00" + b"".join(twice + b"(h\x00" + text("hex") + b"tRq\x00" for _ in range(34))
    long = text("a" * 3 * 10**6) + b"q\x01"
    laughs = b"]" + b"".join(b"q%c](%se" % (i, b"h%c" % i * 20) for i in range(15))
    return {
        "endless": program(b"]" + b"N0" * 2_000_000),
        "endless calls": program(
            *(named("collections", "OrderedDict") + b")R" for _ in range(120_000))
        ),
        "deep tuples as a key": program(b"})" + b"\x85" * 400_000 + b"Ns"),
        "deep tuples to the left": program(b"})" + b"N\x86" * 200_000 + b"Ns"),
        "deep lists": program(b"]" * 300_000 + b"a" * 299_999),
        "doubled bytes": program(encoded, again),
        "many copies of a text": program(
            long, *(twice + b"(h\x01" + latin + b"tR" for _ in range(500))
        ),
        "lists in lists": program(laughs),
        "a text that is not there": program(b"X\xff\xff\xff\x7fabc"),
        "bytes that are not there": program(b"\x8e" + struct.pack("<Q", 2**40) + b"a"),
        "a place that is far": program(b"Nr\xff\xff\xff\xff"),
        "a long number": program(b"\x8b\xff\xff\xff\x7f1"),
        "a line without end": b"\x80\x02I" + b"9" * 10**6,
        "nothing to take": program(b"\x86\x86R"),
        "no end": b"\x80\x02]",
    }


def tensors_that_are_not_there(form: str) -> dict[str, bytes]:
    """Return pickles of images and labels that say of themselves what is not so."""
    more = "legacy" if form == "old" else ""

    def pair(images: bytes) -> bytes:
        return program(b"](" + images + tensor((4,), (1,), 4, more) + b"e")

    return {
        "more values than stored": pair(
            tensor((40, 3, 1000, 1000), (3 * 10**6, 10**6, 1000, 1), 12 * 10**7, more)
        ),
        "values without end": pair(tensor((2**20, 3, 2**10, 2**10), (0, 0, 0, 0), 1, more)),
        "no such size": pair(tensor((2**40, 2**40, 1, 1), (1, 1, 1, 1), 1, more)),
        "negative": pair(tensor((-4, 1, 8, 8), (64, 64, 8, 1), 256, more)),
        "five axes": pair(tensor((1,) * 5, (1,) * 5, 1, more)),
        "terabytes": pair(
            tensor((2**20, 3, 2**9, 2**9), (3 * 2**18, 2**18, 2**9, 1), 3 * 2**38, more)
        ),
    }


# whole sets of every format, whose bytes are then changed


def whole_sets() -> dict[str, Maker]:
    """Return what writes an honest set of every format."""
    images, labels = inputs(8, size=8), class_by_class(4, 2)
    last = images.permute(0, 2, 3, 1).contiguous().numpy()
    hot = np.eye(4, dtype=np.float32)[labels.numpy()]

    def dc(folder: Path, *, old: bool = False) -> list[Path]:
        write_dc(folder / "res_DC_X_ConvNet_2ipc.pt", [(images, labels)], legacy=old)
        return [folder / "res_DC_X_ConvNet_2ipc.pt"]

    def idc(folder: Path) -> list[Path]:
        torch.save([images.sigmoid(), labels], folder / "data.pt")
        return [folder / "data.pt"]

    def flax(folder: Path) -> list[Path]:
        write_flax(folder / "checkpoint_1", {"params": {"x_proto": last, "y_proto": hot}})
        return [folder / "checkpoint_1"]

    def npz(folder: Path) -> list[Path]:
        np.savez_compressed(folder / "step.npz", image=last, label=hot)
        return [folder / "step.npz"]

    def kip(folder: Path) -> list[Path]:
        np.savez(folder / "kip_nozca.npz", images=last, labels=hot)
        return [folder / "kip_nozca.npz"]

    def pictures(folder: Path) -> list[Path]:
        for index, image in enumerate((255 * images.sigmoid()).byte().numpy()):
            place = folder / "set" / str(index % 4) / f"{index}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(png(image[0]))
        return [folder / "set"]

    return {
        "dc": dc,
        "dc old": lambda folder: dc(folder, old=True),
        "mtt": lambda folder: write_mtt(folder, images, labels, 0.02),
        "idc": idc,
        "haba": lambda folder: write_haba(folder, inputs(8, 3), hallucinators(2, 3, 3, 8)),
        "flax": flax,
        "npz": npz,
        "kip": kip,
        "folder": pictures,
    }


def png(values: np.ndarray, size: tuple[int, int] | None = None) -> bytes:
    """Return a grayscale PNG, which may say another height and width than it has."""
    height, width = size or values.shape
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    made = [
        struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


def first_file(paths: list[Path]) -> Path:
    """Return the first of files, or a file in a folder."""
    return next(p for p in sorted(paths[0].rglob("*.png")) if p) if paths[0].is_dir() else paths[0]


def cut(make: Maker, share: float) -> Maker:
    """Return what writes a set whose first file ends early."""

    def made(folder: Path) -> list[Path]:
        paths = make(folder)
        path = first_file(paths)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        return paths

    return made


def spoiled(make: Maker, seed: int) -> Maker:
    """Return what writes a set of whose first file some bytes differ."""

    def made(folder: Path) -> list[Path]:
        paths, draw = make(folder), random.Random(seed)
        path = first_file(paths)
        content = bytearray(path.read_bytes())
        for _ in range(draw.choice([1, 3, 9])):
            content[draw.randrange(len(content))] = draw.randrange(256)
        # a larger number where a size may stand
        if seed % 3 == 0:
            place = draw.randrange(len(content) - 4)
            content[place : place + 4] = b"\xff\xff\xff\x7f"
        path.write_bytes(content)
        return paths

    return made


def archive(name: str, method: int = zipfile.ZIP_DEFLATED, **members: bytes) -> Maker:
    """Return what writes an .npz file of these members."""

    def made(folder: Path) -> list[Path]:
        with zipfile.ZipFile(folder / name, "w", method) as file:
            for member, content in members.items():
                file.writestr(f"{member}.npy", content)
        return [folder / name]

    return made


def array(shape: tuple[int, ...], descr: str, content: bytes = b"") -> bytes:
    """Return an .npy file with this header, whatever follows it."""
    file = io.BytesIO()
    said = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, said)  # pyright: ignore[reportArgumentType]
    return file.getvalue() + content


def npz_files() -> Iterator[tuple[str, Maker]]:
    """Yield .npz files that say or hold what is not so."""
    labels = array((4,), "<i8", np.arange(4).tobytes())
    bodies = {
        "zeros": array((200, 1000, 1000, 1), "|u1", bytes(200_000_000)),
        "zeros of halves": array((100, 1000, 1000, 1), "<f2", bytes(200_000_000)),
        "absurd": array((2**40, 2**40, 1, 1), "<f4"),
        "negative": array((-4, 8, 8, 1), "<f4", bytes(64)),
        "short": array((4, 8, 8, 1), "<f4", bytes(64)),
        "long": array((4, 8, 8, 1), "<f4", bytes(9999)),
        "none": b"",
        "no header": b"\x93NUMPY\x01\x00\xff\xff",
        "endless header": b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b"(" * 9000,
        "nested header": b"\x93NUMPY\x01\x00\x90\x1f" + b"(" * 8080,
        "texts": array((4,), "<U200", bytes(3200)),
        "complex": array((4, 8, 8, 1), "<c8", bytes(2048)),
        "records": array((4,), "<f4", bytes(16)).replace(b"'<f4'", b"'<M8'"),
        "times": array((4, 8, 8, 1), "<m8", bytes(2048)),
        "large items": array((4,), "|S2147483647"),
        "five axes": array((4, 1, 8, 8, 1), "<f4", bytes(1024)),
        "empty": array((0, 8, 8, 1), "<f4"),
        "not a number": array((4, 8, 8, 1), "<f4", np.full(256, np.nan, "<f4").tobytes()),
    }
    for name, body in bodies.items():
        yield f"npz {name}", archive("a.npz", image=body, label=labels)
        yield (
            f"kip {name}",
            archive(
                "kip_nozca.npz",
                zipfile.ZIP_STORED if len(body) < 9999 else 8,
                images=body,
                labels=labels,
            ),
        )
    good = array((4, 8, 8, 1), "<f4", np.arange(256, dtype="<f4").tobytes())
    yield "npz bzip2", archive("a.npz", zipfile.ZIP_BZIP2, image=good, label=labels)
    yield "npz lzma", archive("a.npz", zipfile.ZIP_LZMA, image=good, label=labels)
    yield (
        "npz zeros that nobody needs",
        archive("a.npz", image=good, label=labels, more=bodies["zeros"]),
    )
    yield "npz only zeros", archive("a.npz", more=bodies["zeros"])


def pickles(canary: Path) -> Iterator[tuple[str, Maker]]:
    """Yield pickles that would run code, that run long, or that make much of little."""
    touch = f"touch {canary}"
    calls: dict[str, Any] = {
        "system": Call(os.system, touch),
        "exec": Call(exec, f"open({str(canary)!r}, 'w')"),
        "eval": Call(eval, f"open({str(canary)!r}, 'w')"),
        "open": Call(open, str(canary), "w"),
        "mkdir": Call(os.mkdir, str(canary)),
        "loads": Call(pickle.loads, pickle.dumps(Call(os.system, touch))),
        "load": Call(torch.load, str(canary)),
    }
    for name, call in calls.items():
        for protocol in (0, 2, 4):
            for form, writer in WRITERS.items():
                content = pickle.dumps([inputs(4), call] if protocol == 2 else call, protocol)
                yield f"call {name} {protocol} {form}", _writing(writer, content)
    for form, writer in WRITERS.items():
        for name, content in pickled_demands().items():
            yield f"{name} {form}", _writing(writer, content)
    for form in ("zip", "old"):
        for name, content in tensors_that_are_not_there(form).items():
            yield f"tensor: {name} {form}", _writing(WRITERS[form], content)


def _writing(writer: Callable[[Path, bytes], Path], content: bytes) -> Maker:
    return lambda folder: [writer(folder / "set.pt", content)]


def archives_of_torch() -> Iterator[tuple[str, Maker]]:
    """Yield files of torch.save whose archive is not what it should be."""
    content = program(b"](" + tensor((1, 1, 1, 1), (1, 1, 1, 1), 1) + tensor((1,), (1,), 1) + b"e")

    def packed(folder: Path) -> list[Path]:
        path = zipped(folder / "a.pt", content)
        with zipfile.ZipFile(path) as old:
            members = {name: old.read(name) for name in old.namelist()}
        with zipfile.ZipFile(folder / "set.pt", "w", zipfile.ZIP_DEFLATED) as new:
            for name, member in members.items():
                new.writestr(name, member)
            new.writestr("archive/data/1", bytes(300_000_000))
        path.unlink()
        return [folder / "set.pt"]

    def doubled(folder: Path) -> list[Path]:
        return [zipped(folder / "set.pt", content, **{"DATA.PKL": content})]

    def behind(folder: Path) -> list[Path]:
        path = zipped(folder / "b.pt", content)
        whole = legacy(folder / "set.pt", pickled_demands()["endless"]).read_bytes()
        (folder / "set.pt").write_bytes(whole + path.read_bytes())
        path.unlink()
        return [folder / "set.pt"]

    def without(folder: Path) -> list[Path]:
        path = zipped(folder / "set.pt", content)
        path.write_bytes(path.read_bytes().replace(b"archive/data/0", b"archive/data/7"))
        return [path]

    def bare(folder: Path) -> list[Path]:
        with zipfile.ZipFile(folder / "set.pt", "w") as file:
            file.writestr("archive/nothing", b"")
        return [folder / "set.pt"]

    yield from (("packed", packed), ("two of one name", doubled), ("an archive behind", behind))
    yield from (("without values", without), ("without a pickle", bare))


def checkpoints() -> Iterator[tuple[str, Maker]]:
    """Yield files of msgpack that are no checkpoints."""

    def packed(shape: Any, kind: Any, values: Any) -> bytes:
        inner = msgpack.packb((shape, kind, values))
        one = msgpack.ExtType(1, inner or b"")
        return msgpack.packb({"params": {"x_proto": one, "y_proto": one}}) or b""

    bodies = {
        "empty maps": b"\x81\xa1a\xdd\x00\x98\x96\x80" + b"\x80" * 10_000_000,
        "short lists": b"\x81\xa1a\xdc\x27\x10" + (b"\xdc\x27\x10" + b"\xc0" * 10_000) * 300,
        "lists said": b"\x81\xa1a" + b"\xdd\x00\x98\x96\x80" * 1000 + bytes(10_000_000),
        "deep": b"\x81\xa1a" + b"\x91" * 1_000_000,
        "long text": b"\x81\xa1a\xdb\xff\xff\xff\xffabc",
        "long extension": b"\x81\xa1a\xc9\xff\xff\xff\xff\x01abc",
        "no map": b"\x81\x91\x01\x01",
        "rest": b"\x81\xa1a\x01" + bytes(1000),
        "shape": packed([2**62, 2**62], "float32", b"abcd"),
        "negative": packed([-1, 8, 8, 1], "float32", bytes(256)),
        "axes": packed([1] * 9999, "float32", b"abcd"),
        "objects": packed([1], "object", b"abcdefgh"),
        "texts": packed("4", "float32", b"abcd"),
        "of another size": packed([4, 8, 8, 1], "float32", b"abcd"),
    }
    for name, content in bodies.items():
        yield f"flax {name}", _writing_bytes("checkpoint_1", content)


def _writing_bytes(name: str, content: bytes) -> Maker:
    def made(folder: Path) -> list[Path]:
        (folder / name).write_bytes(content)
        return [folder / name]

    return made


def folders() -> Iterator[tuple[str, Maker]]:
    """Yield folders whose pictures are none, or far larger than they look."""
    small = np.zeros((8, 8), np.uint8)
    bomb = png(np.zeros((9_000, 9_000), np.uint8))
    bodies = {
        "zeros": bomb,
        "another size": png(small, (8_500, 8_500)),
        "a size too large": png(small, (2**31 - 1, 2**31 - 1)),
        "size 0": png(small, (0, 8)),
        "no picture": b"hello",
        "empty": b"",
        "a pickle": pickle.dumps(Call(os.system, "false")),
        "a header": png(small)[:33],
    }
    for name, content in bodies.items():

        def made(folder: Path, content: bytes = content) -> list[Path]:
            for label in range(4):
                place = folder / "set" / str(label) / "0.png"
                place.parent.mkdir(parents=True)
                place.write_bytes(content if label == 1 else png(small + label))
            return [folder / "set"]

        yield f"folder {name}", made

    def circle(folder: Path) -> list[Path]:
        paths = whole_sets()["folder"](folder)
        (paths[0] / "0" / "again").symlink_to(paths[0])
        return paths

    def pipe(folder: Path) -> list[Path]:
        paths = whole_sets()["folder"](folder)
        os.mkfifo(paths[0] / "0" / "pipe.png")
        return paths

    yield from (("folder in a circle", circle), ("folder with a pipe", pipe))


def bases_and_styles() -> Iterator[tuple[str, Maker]]:
    """Yield bases and hallucinators that do not belong together, or make far too much."""

    def of(bases: torch.Tensor, count: int = 1, **other: tuple[int, ...]) -> Maker:
        shapes: dict[str, tuple[int, ...]] = {
            "enc.weight": (3, 3, 3, 3),
            "enc.bias": (3,),
            "scale": (1, 3, 6, 6),
            "shift": (1, 3, 6, 6),
            "dec.weight": (3, 3, 3, 3),
            "dec.bias": (3,),
        }
        shapes |= {name.replace("_", "."): shape for name, shape in other.items()}
        weights = {name: torch.zeros(shape) for name, shape in shapes.items()}

        def made(folder: Path) -> list[Path]:
            styles = {f"{s}.{name}": one for s in range(count) for name, one in weights.items()}
            torch.save(bases, folder / "images_best.pt")
            torch.save(styles, folder / "weights_best.pt")
            return [folder / "images_best.pt", folder / "weights_best.pt"]

        return made

    bases = torch.zeros(400, 3, 8, 8)
    yield (
        "haba many styles",
        of(torch.zeros(400, 3, 64, 64), 3000, scale=(1, 3, 62, 62), shift=(1, 3, 62, 62)),
    )
    yield (
        "haba wide",
        of(
            torch.zeros(400, 3, 64, 64),
            enc_weight=(20_000, 3, 1, 1),
            enc_bias=(20_000,),
            scale=(1, 1, 1, 1),
            shift=(1, 1, 1, 1),
            dec_weight=(20_000, 3, 1, 1),
        ),
    )
    yield "haba scale of all", of(bases[:1], scale=(90_000, 3, 6, 6))
    yield "haba flat", of(bases, enc_weight=(3, 27))
    yield "haba of no channels", of(bases, enc_weight=(0, 3, 3, 3), enc_bias=(0,))
    yield "haba of other channels", of(bases, enc_weight=(3, 1, 3, 3))


def odd_tensors() -> Iterator[tuple[str, Maker]]:
    """Yield images and labels of types and shapes that no set has."""
    images, labels = inputs(4), torch.arange(4)
    pairs: dict[str, tuple[Any, Any]] = {
        "complex": (images.to(torch.complex64), labels),
        "double": (images.double() * 1e300, labels),
        "sparse": (images.to_sparse(), labels),
        "bool": (images > 0, labels),
        "empty": (images[:0], labels[:0]),
        "two channels": (images.expand(-1, 2, -1, -1).clone(), labels),
        "no pixels": (images[..., :0], labels),
        "three axes": (images[:, 0], labels),
        "labels of 2^62": (images, torch.full((4,), 2**62)),
        "labels of -1": (images, labels - 5),
        "labels of floats": (images, torch.full((4,), 1e30)),
        "labels that are not numbers": (images, torch.full((4,), float("nan"))),
        "labels of many values": (images, torch.zeros(4, 10**6)),
        "labels of no values": (images, torch.zeros(4, 0)),
        "labels of three axes": (images, torch.zeros(4, 2, 2)),
        "infinite": (images * float("inf"), labels),
        "meta": (images.to("meta"), labels),
    }
    for name, (first, second) in pairs.items():
        for form in ("dc", "idc", "mtt"):

            def made(
                folder: Path, form: str = form, first: Any = first, second: Any = second
            ) -> list[Path]:
                if form == "mtt":
                    return write_mtt(folder, first, second, None)
                whole = [first, second]
                torch.save({"data": [whole]} if form == "dc" else whole, folder / "set.pt")
                return [folder / "set.pt"]

            yield f"{form} {name}", made


def all_files(canary: Path) -> list[tuple[str, Maker]]:
    """Return every hostile set with its name.

    Args:
        canary: the file that exists once code in one of them was run.
    """
    found: list[tuple[str, Maker]] = []
    for name, make in whole_sets().items():
        found += [(f"{name} cut at {share}", cut(make, share)) for share in (0.02, 0.4, 0.97)]
        found += [(f"{name} spoiled {seed}", spoiled(make, seed)) for seed in range(4)]
    found += pickles(canary)
    for kind in (archives_of_torch, npz_files, checkpoints, folders, bases_and_styles, odd_tensors):
        found += kind()
    return found
