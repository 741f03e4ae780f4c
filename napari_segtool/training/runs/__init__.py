"""The folder of a run: images and labels put into it, what a training writes there, and how that is read."""
