"""The methods there are, one line each; their settings lie where ``make`` says."""

from __future__ import annotations

from attar.methods.method import Method
from attar.registry import Registry

_KERNEL = "kernel.whitening"
_TRAJECTORY = "trajectory.whitening"

CODED = "coded"

METHODS: Registry[Method] = Registry(
    "method",
    lambda thing: isinstance(thing, Method),
    (
        Method("dc", "loss gradients in networks in training", "Zhao et al. 2021", "gradient.dc"),
        Method("dsa", "DC with siamese augmentation", "Zhao & Bilen 2021", "gradient.dsa"),
        Method(
            "lodc", "DC on low-rank factors of every channel", "Yang et al. 2023", "low_rank.lodc"
        ),
        Method(
            "lodsa",
            "DSA on low-rank factors of every channel",
            "Yang et al. 2023",
            "low_rank.lodsa",
        ),
        Method(
            "dm",
            "class means of features in random networks",
            "Zhao & Bilen 2023",
            "distribution.dm",
        ),
        Method(
            "cafe",
            "class means of maps of every layer, and telling real images by them",
            "Wang et al. 2022",
            "alignment.cafe",
        ),
        Method(
            "cafe-dsa", "CAFE with siamese augmentation", "Wang et al. 2022", "alignment.cafe_dsa"
        ),
        Method(
            "lodm",
            "DM on low-rank factors of every channel",
            "Yang et al. 2023",
            "low_rank.lodm",
        ),
        Method(
            "random",
            "real images drawn at random, not updated",
            "baseline",
            "distribution.random",
            coreset=True,
        ),
        Method(
            CODED,
            "real images drawn at random, in the picture codec that suits the bytes",
            "baseline",
            "distribution.random",
            coreset=True,
            choose="coded.coded",
        ),
        Method(
            "kfs", "DM on latent codes and shared decoders", "Lee et al. 2022", "factorized.kfs"
        ),
        Method(
            "frepo",
            "regression in features of networks in training",
            "Zhou et al. 2022",
            "kernel.frepo",
            _KERNEL,
        ),
        Method(
            "lofrepo",
            "FRePo on low-rank factors of every channel",
            "Zhou et al. 2022",
            "low_rank.lofrepo",
            _KERNEL,
        ),
        Method(
            "slimmable",
            "FRePo on components by significance, to be slimmed later",
            "Liu et al. 2023",
            "kernel.slimmable",
            _KERNEL,
        ),
        Method(
            "esp",
            "gradients in the span of experts' training, and DM",
            "Ma et al. 2023",
            "subspace.esp",
        ),
        Method(
            "mtt",
            "parameters of experts in training",
            "Cazenavette et al. 2022",
            "trajectory.mtt",
            _TRAJECTORY,
        ),
        Method(
            "tesla",
            "MTT in memory that inner steps do not change",
            "Cui et al. 2023",
            "trajectory.tesla",
            _TRAJECTORY,
        ),
        Method(
            "lomtt",
            "MTT on low-rank factors of every channel",
            "Yang et al. 2023",
            "low_rank.lomtt",
        ),
        Method(
            "haba",
            "MTT on bases and shared hallucinators, whose images are kept apart",
            "Liu et al. 2022",
            "haba.haba",
            "haba.whitening",
        ),
        Method(
            "lohaba",
            "HaBa on low-rank factors of every channel of its bases",
            "Yang et al. 2023",
            "low_rank.lohaba",
            "haba.whitening",
        ),
        Method("fastdm", "DM that keeps what real images gave", "Attar", "amortised.fastdm"),
        Method("fastlodm", "LoDM that keeps what real images gave", "Attar", "amortised.fastlodm"),
        Method("fastkfs", "KFS that keeps what real images gave", "Attar", "amortised.fastkfs"),
        Method("fastdc", "DC that keeps what real images gave", "Attar", "amortised.fastdc"),
        Method("fastlodc", "LoDC that keeps what real images gave", "Attar", "amortised.fastlodc"),
        Method(
            "idc-i",
            "gradients of one class at a time, networks trained on real data",
            "Kim et al. 2022",
            "multiformation.idc_i",
        ),
        Method("idc", "IDC-I on images cut into tiles", "Kim et al. 2022", "multiformation.idc"),
        Method(
            "loidc-i",
            "IDC-I on low-rank factors of every channel",
            "Yang et al. 2023",
            "low_rank.loidc_i",
        ),
        Method(
            "loidc",
            "IDC on low-rank factors of its images of tiles",
            "Yang et al. 2023",
            "low_rank.loidc",
        ),
        Method(
            "remember-the-past",
            "trainings on sums of bases that all classes share, and the way back through them",
            "Deng & Russakovsky 2022",
            "addressing.remember_the_past",
        ),
        Method(
            "lortp",
            "RememberThePast on low-rank factors of the bases",
            "Yang et al. 2023",
            "addressing.lortp",
        ),
        Method(
            "dd",
            "images and step sizes that train a network in a few steps",
            "Wang et al. 2018",
            "distillation.dd",
        ),
        Method(
            "kip",
            "regression with the tangent kernel of an infinitely wide network",
            "Nguyen et al. 2021",
            "infinite.kip",
            "infinite.kip_whitening",
        ),
        Method(
            "kip-labels",
            "KIP that learns its labels, too",
            "Nguyen et al. 2021",
            "infinite.kip_labels",
            "infinite.kip_whitening",
        ),
        Method(
            "rfad",
            "regression in features of wide random networks",
            "Loo et al. 2022",
            "infinite.rfad",
            "infinite.rfad_whitening",
        ),
        Method(
            "ld",
            "labels of real images, by regressions on features of a network in training",
            "Bohdal et al. 2020",
            "labels.ld",
        ),
        Method(
            "ld-or2",
            "labels of real images, by steps of a network in training",
            "Bohdal et al. 2020",
            "labels.ld_or2",
        ),
        Method(
            "herding",
            "real images whose mean feature is their class's",
            "Welling 2009",
            "coresets.herding",
            coreset=True,
        ),
        Method(
            "forgetting",
            "real images that training forgets most often",
            "Toneva et al. 2019",
            "coresets.forgetting",
            coreset=True,
        ),
        Method(
            "kcenter",
            "real images that cover their class's features",
            "Sener & Savarese 2018",
            "coresets.kcenter",
            coreset=True,
        ),
        Method(
            "confident",
            "real images that a trained network is sure of",
            "Attar",
            "confident.confident",
            coreset=True,
        ),
        Method(
            "taught",
            "real images that a trained network is sure of, and its labels",
            "Attar",
            "confident.taught",
            coreset=True,
        ),
        Method(
            "kd",
            "real images that a trained network is sure of, and this network, in the same bytes",
            "Attar",
            "confident.kd",
            coreset=True,
        ),
        Method(
            "rded",
            "crops of real images that a teacher is surest of, tiled, and its labels",
            "Sun et al. 2024",
            "rded.rded",
            coreset=True,
        ),
        Method(
            "sre2l",
            "images that a trained network knows, with its statistics of batch normalization",
            "Yin et al. 2023",
            "statistics.sre2l",
        ),
        Method(
            "cda",
            "as sre2l, on crops that get smaller from step to step",
            "Yin & Shen 2023",
            "statistics.cda",
        ),
        Method(
            "best",
            "what serves the bytes and the minutes best, by measured rules; --explain says what",
            "Attar",
            "best.recipe",
            choose="best.best",
        ),
    ),
    dashes=True,
)
