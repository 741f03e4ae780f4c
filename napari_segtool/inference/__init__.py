"""Inference: tiling and prediction."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch loads: threads that spin cost a busy machine more than half its speed
