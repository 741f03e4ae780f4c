"""Metrics: one file is one family of metrics."""
