"""Pictures of 8 bits as bytes, and bytes that are not trusted as pictures; free of torch."""

from attar.coding.codecs import CODECS, Codec, PictureCodec, codecs_there
from attar.coding.sheets import grid_of, joined, parted

__all__ = ["CODECS", "Codec", "PictureCodec", "codecs_there", "grid_of", "joined", "parted"]
