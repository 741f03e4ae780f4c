"""What a network is shown: what is held out, which patch comes next, how it is cut and varied, and how much each pixel counts."""
