"""Bundled samples, made by code: one file is one sample."""
