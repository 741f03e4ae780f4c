"""``python -m napari_segtool`` is ``segtool``."""

from napari_segtool.cli import main

if __name__ == "__main__":
    main()
