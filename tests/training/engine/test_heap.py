"""Memory that a step frees is there for the next one, and goes back to the system in the end."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CODE = """
import resource
import numpy as np
from napari_segtool.training.engine._heap import kept_heap

def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        np.ones(40 * 2**20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

outside = faults(5)
with kept_heap():
    faults(1)
    inside, held = faults(5), resident()
assert inside < outside / 4, (inside, outside)
assert resident() < held - 30 * 2**20, (resident(), held)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_pages_are_not_asked_for_again_within_and_given_back_after() -> None:
    subprocess.run([sys.executable, "-c", CODE], check=True, timeout=60)
