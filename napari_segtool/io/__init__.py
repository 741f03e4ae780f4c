"""Reading and writing: one file is one format family."""
