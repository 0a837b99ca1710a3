"""The files of a run."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path

from attar.artefact.artefact import evaluation_path, last_iterate_path
from attar.artefact.snapshots import snapshots_path
from attar.teachers.file import teacher_path


@dataclass(frozen=True)
class Paths:
    """The files of a run, all beside the output."""

    output: Path

    @property
    def checkpoint(self) -> Path:
        """The latest checkpoint; removed when the run is complete."""
        return self.output.with_suffix(".checkpoint.safetensors")

    @property
    def end(self) -> Path:
        """Where a complete run ended: a checkpoint from which a longer one goes on."""
        return self.output.with_suffix(".end.safetensors")

    @property
    def begun(self) -> Path | None:
        """What a run can go on from: the latest checkpoint, else the end of a complete run."""
        return next((path for path in (self.checkpoint, self.end) if path.exists()), None)

    @property
    def log(self) -> Path:
        """Losses and validations, one JSON object per line."""
        return self.output.with_suffix(".log.jsonl")

    @property
    def last(self) -> Path:
        """The last iterate, where another one was selected."""
        return last_iterate_path(self.output)

    @property
    def snapshots(self) -> Path:
        """Iterates on the way, where they were asked for."""
        return snapshots_path(self.output)

    @property
    def teacher(self) -> Path:
        """The trained network that labels come from, where one was trained for it."""
        return teacher_path(self.output)

    @property
    def study(self) -> Path:
        """The network that was trained to choose real images; removed when the run is complete."""
        return self.output.with_suffix(".study.safetensors")

    @property
    def unfinished(self) -> bool:
        """Whether a run was begun and is not complete."""
        return self.checkpoint.exists() or self.study.exists()

    @property
    def beside(self) -> tuple[Path, ...]:
        """Whatever a run and the evaluation of what it made write beside the output."""
        own = (self.checkpoint, self.log, self.last, self.snapshots, self.teacher, self.study)
        return (*own, evaluation_path(self.output), evaluation_path(self.last))

    def clear_leftovers(self) -> None:
        """Remove temporary files that a killed run left behind."""
        written = (self.output, self.checkpoint, self.end, self.log, self.last, self.snapshots)
        for path in (*written, self.teacher, self.study):
            for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
                leftover.unlink(missing_ok=True)
