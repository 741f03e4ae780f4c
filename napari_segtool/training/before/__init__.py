"""What can be looked at before a training: examples of patches, the weight map, the learning rates."""
