"""The warm process in which networks of this viewer predict and explain; shared by the panels, ended with the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.settings import worker_threads
from napari_segtool.ui._session import Session
from napari_segtool.ui._window_settings import window_settings

if TYPE_CHECKING:
    from napari_segtool._worker_client import WorkerClient


class NetworkProcess:
    """The one worker client of a viewer; get it with ``session.shared(NetworkProcess)``.

    Attributes
    ----------
    device : str
        Where networks run, as chosen in whichever panel was used last.
    """

    def __init__(self, session: Session) -> None:
        self._settings = session.shared(window_settings)
        self.device = self._settings.device
        self._client: WorkerClient | None = None
        session.closing.connect(self.close)

    @property
    def client(self) -> WorkerClient:
        """What networks are asked through; its process starts at the first question."""
        if self._client is None:
            from napari_segtool._worker_client import WorkerClient

            self._client = WorkerClient(threads=worker_threads(self._settings))
        return self._client

    @property
    def running(self) -> bool:
        """True while the process holds memory."""
        return self._client is not None and self._client.pid != 0

    def close_steps(self) -> Steps[None]:
        """End the process, and with it all memory it held, on the graphics card too. The next question starts it again."""
        yield Progress(0, 0, "freeing memory")
        if self._client is not None:
            self._client.close()

    def close(self) -> None:
        """End the process, for a viewer that closes."""
        if self._client is not None:
            self._client.close()
