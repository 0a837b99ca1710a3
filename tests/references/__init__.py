"""The papers' equations, slow and literal, in float64; nothing here imports Attar."""
