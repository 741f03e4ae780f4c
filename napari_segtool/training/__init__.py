"""Training: from a proposal of how to train, through run folders, patches, losses and the engine, to a model."""
