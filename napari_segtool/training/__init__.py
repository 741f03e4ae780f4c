"""Training: patches, augmentation, losses, schedule, fit, run folders."""
