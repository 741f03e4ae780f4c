"""A network process that answers at once, with truths known by construction, for tests of the Explain panel."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from napari_segtool.core.inside import Layer, Patch, Place, ReceptiveField
from napari_segtool.core.result import Step
from napari_segtool.core.stack import Stack
from napari_segtool.core.trust import Curve, Likeness, TrustReport, Verdict

LAYERS = (Layer("down.0", 4, (1, 1), 40), Layer("bottom", 8, (2, 2), 300), Layer("up.0", 4, (1, 1), 90))


class FakeClient:
    """Answers maps that are 1 where they are asked about (the pixel, or the region), and remembers what it was asked."""

    pid = 1

    def __init__(self):
        self.asked, self.inside, self.trusted = [], [], True

    def explain_steps(self, model, stack, explainer, target, *, device, **params):
        from napari_segtool.core.errors import ModelError
        from napari_segtool.core.registry import EXPLAINERS

        self.asked.append((explainer, target, params))
        yield from ()
        if explainer == "cam":
            raise ModelError("This network has no such maps.", hint="Use Grad-CAM.")
        values = np.zeros((1, *stack.shape[1:]), np.float32)
        plane = target.plane or target.point[:1]
        if target.point:
            values[0, target.point[1], target.point[2]] = 1
        if target.region is not None:
            (y, x), mask = target.region.start, target.region.mask
            values[0, y : y + mask.shape[0], x : x + mask.shape[1]] = mask
        step = Step(f"explain:{explainer}", params, "0", "0")
        return Stack(values, "ZYX", stack.spacing_um, f"{stack.name} · {EXPLAINERS.get(explainer).title}", {"plane": plane, "history": (step,)})

    def inside_steps(self, verb, model, *images, device, **arguments):
        self.inside.append((verb, images, arguments))
        yield from ()
        return getattr(self, f"_{verb}")(images, arguments)

    def _layers(self, images, arguments):
        return LAYERS

    def _activations(self, images, arguments):
        """Feature f has the value f everywhere but in its second row and third column."""
        (stack,), layer = images, next(layer for layer in LAYERS if layer.name == arguments["layer"])
        step = layer.scale_px[-1]
        data = np.zeros((layer.features, 1, stack.shape[1] // step, stack.shape[2] // step), np.float32)
        data += np.arange(layer.features, dtype=np.float32)[:, None, None, None]
        data[:, 0, 1, 2] = 100
        memo = {
            "plane": tuple(arguments["plane"]),
            "layer": layer.name,
            "features": tuple(range(layer.features)),
            "scale_px": (float(step), float(step)),
            "offset_px": ((step - 1) / 2, (step - 1) / 2),
            "history": (Step("inside:activations", {"layer": layer.name}, "0", "0"),),
        }
        return Stack(data, "CZYX", stack.spacing_um, f"{stack.name} · {layer.name}", memo)

    def _filters(self, images, arguments):
        kernels = np.zeros((3, 1, 3, 3), np.float32)
        kernels[0, 0, 1, 1], kernels[1, 0, 1, 1] = 1, -1
        return Stack(kernels, "QCYX", (), "filters", {"layer": "down.0.0", "history": ()})

    def _patches(self, images, arguments):
        return (Patch(0, (2,), (20, 30), (16, 26, 24, 34), 2.0, np.full((8, 8), 90, np.uint8)),)

    def _receptive_field(self, images, arguments):
        _, y, x = arguments["target"].point
        line = np.array([(y - 3, x - 3), (y - 3, x + 3), (y + 3, x + 3), (y + 3, x - 3)], np.float32)
        drawn = Stack(np.zeros((1, *images[0].shape[1:]), np.float32), "ZYX", (), "", {"plane": (arguments["target"].point[0],), "history": ()})
        return ReceptiveField(drawn, line, 6.0, (y - 10, x - 10, y + 11, x + 11))

    def _similar_places(self, images, arguments):
        return (Place((2,), (20, 30), (15, 25, 25, 35), 0.9, 0.8), Place((1,), (8, 9), (3, 4, 13, 14), 0.8, 0.1))

    def _trust(self, images, arguments):
        return report(self.trusted)

    def close(self):
        self.closed = True


def report(trusted: bool) -> TrustReport:
    """A report of a map that passes all checks, or of one that does not depend on what was learned."""
    words = "This map changes when the network's weights are randomised (rank correlation 0.02): it shows what the network learned."
    if not trusted:
        words = "This map does not change when the network's weights are randomised: don't read it (rank correlation 0.97)."
    verdicts = (
        Verdict("randomisation", trusted, words),
        Verdict("deletion", True, "Covering lowers the score."),
        Verdict("insertion", True, "Showing raises the score."),
        Verdict("repeatability", True, "The map comes out the same twice."),
    )
    falling, rising = Curve((0.0, 0.5, 1.0), (1.0, 0.2, 0.0), 0.35), Curve((0.0, 0.5, 1.0), (0.0, 0.8, 1.0), 0.65)
    chance = Curve((0.0, 0.5, 1.0), (0.5, 0.5, 0.5), 0.5)
    alike = Likeness(("down.0", "up.0"), 0.02 if trusted else 0.97, 0.0, 0.1)
    return TrustReport("Seg-Grad-CAM", (alike,), (alike,), falling, rising, chance, chance, "probability", 0.0, 0.9, verdicts)


def click(viewer, image, pixel):
    """Click on a pixel as napari's canvas reports it to the viewer."""
    event = SimpleNamespace(type="mouse_press", button=1, position=tuple(image.data_to_world(pixel)), pos=(10, 10), modifiers=())
    for callback in list(viewer.mouse_drag_callbacks):
        steps = callback(viewer, event)
        next(steps, None)
        event.type = "mouse_release"
        next(steps, None)


def opened_panel(workspace, data, folder, monkeypatch):
    """Open an Explain panel over an image, with a model whose network is never asked."""
    from napari_segtool.core.result import ModelBundle

    monkeypatch.setenv("SEGTOOL_RUNS_FOLDER", str(folder / "runs"))
    monkeypatch.setenv("SEGTOOL_CONFIG", str(folder / "segtool.json"))
    workspace.viewer.add_image(data, name="steps", scale=(50, 4, 4))
    shown = workspace("explain")
    shown.process._client = FakeClient()
    classes = [{"value": 1, "name": "membrane"}, {"value": 2, "name": "inside"}]
    desk = shown.models.desk
    desk.chosen, desk.bundle = folder, ModelBundle(folder, {"learner": "unet", "network": "unet", "channels": 1, "spatial": 2, "classes": classes})
    desk.opened.emit()
    return shown
