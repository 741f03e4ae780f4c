"""How good a network in training is, which of its weights are kept, and where the border between classes is drawn."""
