"""PyTorch files that are not trusted, read as tensors and plain values without running anything."""
