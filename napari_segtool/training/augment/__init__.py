"""Augmentations of grey values: one file is one. What moves pixels is composed into one map elsewhere."""
