"""Explainers: one file is one explainer."""
