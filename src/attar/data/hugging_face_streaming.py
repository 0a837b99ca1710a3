"""Data sets of the Hugging Face Hub as streams: neither downloaded nor turned into Arrow whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from attar.data.cache import digest
from attar.data.hugging_face_rows import check_kind, image_column, label_column, labels_of
from attar.data.indexed import Listing
from attar.data.reading import Reading
from attar.data.streamed import of_row, remove_outdated, streamed

FOLDER = "streamed"


@dataclass(frozen=True)
class Stream:
    """Lists the rows of streams, after their pictures have been written to disk.

    Args:
        builder: of the library, which knows what files there are.
        reading: ``data_dir/streamed`` is where the pictures lie.
    """

    builder: Any
    reading: Reading

    def splits(self) -> dict[str, Any]:
        """Return the streams of all splits by name."""
        return dict(self.builder.as_streaming_dataset())

    def rows(self, dataset: Any, where: str, class_names: tuple[str, ...] | None = None) -> Listing:
        """List the pictures of one split, as `hugging_face_rows.list_rows` does."""
        import datasets

        columns = self.reading.columns
        image = image_column(dataset, columns.path, where)
        label = label_column(dataset, columns.label, where)
        feature = dataset.features[label]
        # before hours of streaming
        check_kind(feature, f"{where}, column {label}")
        wanted = dataset.select_columns([image, label])
        undecoded = wanted.cast_column(image, datasets.Image(decode=False))

        def rows(first: int) -> Iterator[tuple[bytes, Any]]:
            for number, row in zip(count(first), undecoded.skip(first), strict=False):
                yield of_row(row, image, f"{where}, row {number}"), row[label]

        def told(done: int) -> None:
            if self.reading.watch is not None:
                self.reading.watch(f"pictures of {where} streamed", done, max(done, total))

        total = _rows_of(self.builder, str(dataset.split))
        prefix = digest([where, image, label])[:16]
        name = f"{prefix}-{digest([self._files()])}.pictures"
        path = self.reading.data_dir / FOLDER / name
        remove_outdated(path, prefix)
        pictures, values = streamed(path, rows, where, told)
        labels, names = labels_of(values, feature, class_names, f"{where}, column {label}", where)
        return Listing(pictures, labels, names)

    def _files(self) -> str:
        """Return what changes where one of the files does."""
        # of datasets 4 and 5: paths with the time of change, or the commit on the Hub
        files = self.builder.config.data_files or {}
        told = {str(n): [list(map(str, one)), one.origin_metadata] for n, one in files.items()}
        return json.dumps([self.builder.hash, told], default=str, sort_keys=True)


def _rows_of(builder: Any, split: str) -> int:
    """Return how many rows a split is said to have; 0 where nothing says it."""
    known = (builder.info.splits or {}).get(split)
    return 0 if known is None else int(known.num_examples or 0)
