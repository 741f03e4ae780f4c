"""The only folder that knows napari, Qt and magicgui."""
