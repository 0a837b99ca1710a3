"""Expert trajectories: networks trained on the real data, their parameters kept on the way."""

from attar.experts.store import ExpertStore, open_experts

__all__ = ["ExpertStore", "open_experts"]
