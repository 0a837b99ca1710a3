"""What a user can ask of `attar.evaluate` beside its parameters; free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from attar.errors import BadRequest
from attar.kinds import settle_kinds
from attar.options import ReadingOptions
from attar.renaming import fields


class EvaluateOptions(ReadingOptions, total=False):
    """The fields of `EvaluationRequest`, and how the data are read."""

    epochs: int | None
    updates: int | None
    ceiling: bool
    ceiling_epochs: int | None
    scores: bool
    tune: bool
    seed: int
    device: str
    precision: str
    torch_compile: str
    vectorized: int | None
    teacher: str | None
    label_epochs: int | None
    label_share: float | None
    label_storage: str | None
    labels: str | Path | None


@fields(compile="torch_compile")
@dataclass(frozen=True)
class EvaluationRequest:
    """The options of one evaluation that most leave as they are.

    Args:
        epochs: another number of epochs than the card's. A set with more images then gets more
            updates, and looks better for it.
        updates: this number of updates for every row, the whole training set included, in place
            of epochs.
        ceiling: also measure the whole training set, and say which share of its accuracy every
            other row reaches. What was measured once is kept in the folder of the data.
        ceiling_epochs: another number of epochs on the whole training set than a small set's
            number of updates asks for.
        scores: also give the robust scores of DD-Ranking, which need the random and the whole
            row, and training without augmentation.
        tune: first look for the learning rate and the epochs around the card's on held-out
            training images, and use what was found for all rows (see `attar.evaluation.tuning`).
        seed: of the networks.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto, float32 or bfloat16.
        torch_compile: auto, on or off.
        vectorized: networks that train in one step; None takes what is faster.
        teacher: a trained network on disk that labels every batch, as it is augmented and mixed,
            in rows of their own: of the set and of random images. Its bytes are counted there.
        label_epochs: of its labels, so many epochs are stored in its place, with the key of their
            crops, and students see these batches; later epochs take one of them at random.
        label_share: of the batches of these epochs, so large a share is kept, drawn at random; an
            update whose batch is not takes one that is. None for all.
        label_storage: how they are: ``float16``, or ``top:keep=5`` for the largest of a label. None
            for float16.
        labels: a file of labels, such as ``OUT.labels.safetensors``. Where it is there, the set is
            trained on with these, and needs no teacher; where not, the labels are kept in it.

    Raises:
        BadRequest: a value of another kind, or out of its range.
    """

    epochs: int | None = None
    updates: int | None = None
    ceiling: bool = False
    ceiling_epochs: int | None = None
    scores: bool = False
    tune: bool = False
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    torch_compile: str = "auto"
    vectorized: int | None = None
    teacher: str | None = None
    label_epochs: int | None = None
    label_share: float | None = None
    label_storage: str | None = None
    labels: Path | None = None

    def __post_init__(self) -> None:
        settle_kinds(self)
        if self.labels is None:
            self._refuse_labels_of_nothing()
        if self.label_share is not None and not 0 < self.label_share <= 1:
            raise BadRequest(
                f"--label-share {self.label_share:g}: the share of the batches whose labels are "
                "kept, above 0, to 1 for all"
            )
        if self.ceiling_epochs is not None and self.ceiling_epochs < 1:
            raise BadRequest(f"--ceiling-epochs {self.ceiling_epochs}: at least 1 is needed")
        if self.vectorized is not None and self.vectorized < 1:
            raise BadRequest(f"--vectorized {self.vectorized}: at least one network per step")

    def _refuse_labels_of_nothing(self) -> None:
        """Refuse what is said of labels of epochs where there are none."""
        if self.label_epochs is not None and self.teacher is None:
            raise BadRequest(
                f"--label-epochs {self.label_epochs}: labels of epochs are a teacher's; name it "
                "with --teacher"
            )
        said = {"--label-storage": self.label_storage, "--label-share": self.label_share}
        for option, value in said.items():
            if self.label_epochs is None and value is not None:
                raise BadRequest(
                    f"{option} {value}: of the labels that --label-epochs keeps; say of how many "
                    "epochs, or leave it out"
                )
