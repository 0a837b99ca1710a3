"""Augmentation: DSA's operations, and the variants that other authors use."""
