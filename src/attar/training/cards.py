"""The evaluation cards there are; adding one is one entry in `CARDS`.

Sources: the evaluation code of DC and DSA, CAFE, MTT, IDC, HaBa, Remember the Past, DD,
LD, FRePo, RDED, SRe2L and of a study of decoupled methods (rethinkdc), and the settings that the
low-rank plugin's authors recorded.
"""

from __future__ import annotations

from typing import Any, Literal

from attar.errors import BadRequest, unknown
from attar.registry import Registry
from attar.training.evaluation_card import MNIST, NOT_MIRRORED, EvaluationCard, Exceptional

__all__ = ["CARDS", "DSA", "NOT_MIRRORED", "EvaluationCard", "card"]

DSA = "color_crop_cutout_flip_scale_rotate"
IDC = "idc:color_crop_flip_scale_rotate"
FREPO = "frepo:flip_color_crop_rotate_translate_cutout"
# updates by the number of prototypes, as FRePo's evaluation script has them
_FREPO_UPDATES = (
    (10, 1_000),
    (100, 2_000),
    (200, 20_000),
    (400, 5_000),
    (500, 5_000),
    (1_000, 10_000),
    (2_000, 40_000),
    (5_000, 40_000),
)
# images of a set that is taken as one batch
MOST = 10**9
_KERNELS: tuple[tuple[Literal["ntk", "nngp"], str], ...] = (
    ("ntk", "tangent kernel"),
    ("nngp", "covariances"),
)
_FREPO_NETWORKS = ((0, "frepo3:norm=none"), (64, "frepo4:norm=none"), (128, "frepo5:norm=none"))

# what the students of decoupled methods have in common
_DISTILLED: dict[str, Any] = {
    "lr": 1e-3,
    "momentum": 0.0,
    "weight_decay": 0.01,
    "optimiser": "adamw",
    "one_more": False,
    "loss": "kl",
    "temperature": 20.0,
    "mixing": "cutmix",
    "mixed": 1.0,
}

CARDS: Registry[EvaluationCard] = Registry(
    "card",
    lambda thing: isinstance(thing, EvaluationCard),
    (
        EvaluationCard(
            "dc-300", "DC: 300 epochs, augmented on digits and for batch norm only", 300, "dc"
        ),
        EvaluationCard("cafe-600", "CAFE: as dc-300, for 600 epochs", 600, "dc"),
        EvaluationCard("dc-1000", "DC on digits; LoDC as its paper says: 1000 epochs", 1000, "dc"),
        EvaluationCard("plain-1000", "LoDSA on MNIST at 50: no augmentation", 1000, "none"),
        EvaluationCard("dsa-1000", "DSA, DM, LoDM: 1000 epochs with DSA augmentation", 1000, DSA),
        EvaluationCard("lodm-tiny-5000", "LoDM on Tiny-ImageNet at 10: 5000 epochs", 5000, DSA),
        EvaluationCard(
            "mtt",
            "MTT: 1000 epochs with DSA augmentation, at the learnt learning rate",
            1000,
            DSA,
            learnt_lr=True,
        ),
        EvaluationCard(
            "idc",
            "IDC: 1000 epochs, batches of 64, its own augmentation and CutMix, rate in steps",
            1000,
            IDC,
            batch=64,
            schedule="steps",
            one_more=False,
            mixing="cutmix",
            exceptions=(
                Exceptional(MNIST, tiled=True, changes=(("mixing", "none"),)),
                Exceptional(
                    ("svhn",),
                    tiled=False,
                    per_class=1,
                    changes=(
                        ("mixing", "none"),
                        ("augment", "idc:color_crop_cutout_scale_rotate"),
                    ),
                ),
            ),
        ),
        EvaluationCard(
            "haba",
            "HaBa: as MTT, each base by a hallucinator that is drawn for every pass",
            1000,
            DSA,
            learnt_lr=True,
            variants=0,
        ),
        EvaluationCard(
            "rtp",
            "Remember the Past: 300 epochs, batches of 640, constant rate, no augmentation",
            300,
            "none",
            weight_decay=0.0,
            batch=640,
            schedule="constant",
            one_more=False,
        ),
        EvaluationCard(
            "dd",
            "DD: exactly the steps of gradient descent that were learnt with the set",
            3,
            "none",
            lr=0.02,
            momentum=0.0,
            weight_decay=0.0,
            schedule="constant",
            one_more=False,
            learnt_steps=True,
        ),
        EvaluationCard(
            "ld",
            "LD: Adam on batches of 50, for the updates that were found with the set",
            0,
            "none",
            lr=1e-3,
            momentum=0.0,
            weight_decay=0.0,
            batch=50,
            optimiser="adam",
            schedule="constant",
            one_more=False,
            updates=((0, 300),),
            learnt_updates=True,
        ),
        EvaluationCard(
            "frepo",
            "FRePo: Adam on squared error, updates by set size, its own network and augmentation",
            0,
            FREPO,
            lr=3e-4,
            momentum=0.0,
            weight_decay=0.0,
            batch=500,
            optimiser="adam",
            schedule="warm_cosine",
            one_more=False,
            loss="squared",
            updates=_FREPO_UPDATES,
            networks=_FREPO_NETWORKS,
            exceptions=(
                Exceptional(("fashion_mnist",), changes=(("augment", FREPO.replace("flip_", "")),)),
            ),
        ),
        EvaluationCard(
            "kip",
            "KIP: 5000 updates on squared error, at the greatest stable rate of every network",
            0,
            "none",
            lr=1.0,
            # the authors' 0.001, of an error averaged over 10 classes, which is summed here
            weight_decay=0.01,
            batch=100,
            schedule="cosine",
            one_more=False,
            loss="squared",
            updates=((0, 5_000),),
            stable=True,
        ),
        EvaluationCard(
            "kd",
            "what the set's own teacher says at 4 of every batch, with DSA augmentation",
            300,
            DSA,
            lr=0.3,
            schedule="warm_cosine",
            one_more=False,
            loss="kl",
            temperature=4.0,
            hard_lr=0.02,
        ),
        EvaluationCard(
            "rded",
            "RDED: 300 epochs of AdamW on what a teacher says at 20 of mixed, shuffled crops",
            300,
            "rded:shuffle_crop_flip",
            batch=50,
            schedule="half_cosine",
            exceptions=(
                Exceptional(per_class=1, changes=(("batch", 10),)),
                Exceptional(per_class=50, changes=(("batch", 100),)),
                Exceptional(("cifar100",), per_class=1, changes=(("batch", 20),)),
                Exceptional(("cifar100",), per_class=10, changes=(("batch", 100),)),
                Exceptional(("cifar100",), per_class=50, changes=(("batch", 200),)),
                Exceptional(("tiny_imagenet",), changes=(("batch", 100),)),
            ),
            **_DISTILLED,
        ),
        EvaluationCard(
            "sre2l",
            "SRe2L, CDA: 300 epochs of AdamW on what a teacher says at 20 of mixed crops",
            300,
            "rded:zoom_flip",
            batch=1024,
            schedule="cosine",
            exceptions=(
                Exceptional(
                    ("tiny_imagenet",),
                    changes=(
                        ("epochs", 100),
                        ("batch", 64),
                        ("optimiser", "sgd"),
                        ("lr", 0.2),
                        ("momentum", 0.9),
                        ("weight_decay", 1e-4),
                    ),
                ),
            ),
            **_DISTILLED,
        ),
        EvaluationCard(
            "rethinkdc",
            "One for all decoupled methods: 300 epochs of AdamW in batches of 128, as sre2l else",
            300,
            "rded:zoom_flip",
            batch=128,
            schedule="cosine",
            **_DISTILLED,
        ),
        *(
            EvaluationCard(
                kernel,
                f"KIP: no training, but regression with the {what} of the infinitely wide network",
                0,
                "none",
                batch=MOST,
                schedule="constant",
                one_more=False,
                loss="squared",
                updates=((0, 1),),
                kernel=kernel,
            )
            for kernel, what in _KERNELS
        ),
    ),
    dashes=True,
)


def card(name: str, epochs: int | None = None, updates: int | None = None) -> EvaluationCard:
    """Return a card by name, with another length of training where one is given.

    Args:
        name: as in `CARDS`.
        epochs: passes over the set.
        updates: one number for every set, however many images it has.

    Raises:
        BadRequest: an unknown card (the message lists all), fewer than one epoch or update, or
            both.
    """
    if name not in CARDS:
        raise unknown("card", name, CARDS)
    if epochs is not None and updates is not None:
        raise BadRequest(
            f"--epochs {epochs} and --updates {updates} each say how long networks are trained; "
            "give one of them"
        )
    chosen = CARDS[name]
    if chosen.kernel and (epochs is not None or updates is not None):
        given = f"--epochs {epochs}" if updates is None else f"--updates {updates}"
        raise BadRequest(f"{given}: under the card {name!r} no network is trained; leave it out")
    if updates is not None:
        return chosen.with_updates(updates)
    return chosen if epochs is None else chosen.with_epochs(epochs)
