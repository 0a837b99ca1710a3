"""The old place of `attar.artefact.header`."""

from attar.renaming import old_names

_HOME = "attar.artefact.header"
_KEPT = ("BALANCED", "FORMAT", "FORMAT_VERSION", "LENGTH", "PARTS", "READ_FROM", "SELECTED_BY")

__getattr__ = old_names(
    __name__,
    {"Card": f"{_HOME}.Header", **{name: f"{_HOME}.{name}" for name in (*_KEPT, "Totals")}},
)
