"""Augmentations of grey values: one file is one. What moves pixels is composed into one map elsewhere (`training.data._warp`).

An entry is a function ``(patch: Patch, rng: numpy.random.Generator, params) -> Patch``. It may change the arrays of the patch it is given;
how often it is called is its parameter ``probability``, which the caller sees to; with ``strength`` 0 it changes nothing.
"""
