"""Inference: tiling and prediction."""
