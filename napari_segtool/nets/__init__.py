"""Networks: shared blocks, and one file for each network."""
