"""The settings as the window uses them: read once for each viewer, and never a reason not to open."""

from __future__ import annotations

from napari.utils.notifications import show_warning

from napari_segtool.core.errors import SegtoolError
from napari_segtool.core.settings import Settings, read_settings
from napari_segtool.ui._session import Session


def window_settings(session: Session) -> Settings:
    """Return the settings of a viewer; get them with ``session.shared(window_settings)``. A damaged file is told of, and the defaults count."""
    try:
        return read_settings()
    except SegtoolError as error:
        show_warning(str(error))
        return Settings()
