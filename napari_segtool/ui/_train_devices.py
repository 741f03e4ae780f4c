"""Which devices a network may run on, found out without loading torch."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QWidget

from napari_segtool.core.progress import Steps
from napari_segtool.ui._fields import guard_wheel
from napari_segtool.ui._session import Session
from napari_segtool.ui._window_settings import window_settings

_PATIENCE_S = 10.0


@dataclass(frozen=True)
class Device:
    """One entry of the device chooser: name for torch, text, and what stands in its tooltip."""

    name: str
    text: str
    details: str = ""


AUTO = Device("auto", "automatic", "The GPU if there is one that torch can use, else the processor.")


def find_devices_steps() -> Steps[tuple[Device, ...]]:
    """List the devices of this computer; NVIDIA's are asked from their own tool. To be run beside the GUI thread."""
    found = [AUTO, *_nvidia()]
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        found.append(Device("mps", "Apple GPU", "The GPU of this Mac."))
    cores = os.cpu_count() or 1
    found.append(Device("cpu", f"processor · {cores} core{'s' if cores > 1 else ''}", "Slower, but always there. One core is left for the window."))
    return tuple(found)
    yield


def _nvidia() -> list[Device]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        said = subprocess.run(
            [tool, "--query-gpu=index,name,memory.total", "--format=csv,noheader,nounits"], capture_output=True, text=True, timeout=_PATIENCE_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):  # a driver that does not answer: "automatic" still finds what torch finds
        return []
    devices = []
    for line in said.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 3 and parts[0].isdigit():
            memory = f" · {round(float(parts[2]) / 1024)} GB" if parts[2].replace(".", "").isdigit() else ""
            devices.append(Device(f"cuda:{parts[0]}", f"GPU {parts[0]}{memory}", parts[1]))
    return devices


class DeviceCombo(QComboBox):
    """Choose the device; the list is found out beside the GUI thread, at the first `look`.

    Parameters
    ----------
    session
        Runs the search.
    """

    edited = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._looked = session, False
        self.setToolTip("Where the network runs. Automatic takes the GPU if there is one.")
        self.setAccessibleName("Device")
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(6)
        guard_wheel(self)
        self._wanted = session.shared(window_settings).device
        self._fill((AUTO,))
        self.activated.connect(self._chosen)

    def look(self) -> None:
        """Find out which devices there are, once."""
        if not self._looked:
            self._looked = True
            job = self._session.start(find_devices_steps, "devices")
            job.returned.connect(self._fill)
            job.start()

    def device(self) -> str:
        """Return the name for torch."""
        return str(self.currentData())

    def set_device(self, name: str) -> None:
        """Show a device as chosen; one that is not there yet is chosen when it is found."""
        self._wanted = name
        self.setCurrentIndex(max(0, self.findData(name)))

    def _fill(self, devices: tuple[Device, ...]) -> None:
        self.clear()
        for row, device in enumerate(devices):
            self.addItem(device.text, device.name)
            self.setItemData(row, device.details, 3)  # Qt.ItemDataRole.ToolTipRole, whose type differs between bindings
        self.set_device(self._wanted)

    def _chosen(self, _: int) -> None:
        self._wanted = self.device()
        self.edited.emit()
