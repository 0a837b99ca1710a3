"""The old place of `attar.condensing.telling`."""

from attar.renaming import old_names

_HOME = "attar.condensing.telling"

__getattr__ = old_names(
    __name__, {"Listener": f"{_HOME}.Callback", "Estimate": f"{_HOME}.Estimate"}
)
