"""What things are: stacks, labels, results, parameters, registries, progress, errors, settings."""
