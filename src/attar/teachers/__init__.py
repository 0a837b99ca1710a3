"""Trained networks that choose, make or label images: read from disk, or made on the spot."""
