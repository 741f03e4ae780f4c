"""Self-configuration: from what was surveyed to every setting of a training, with its reason and its cost."""
