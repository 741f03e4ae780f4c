"""How the network is taught: one function for each setting, which gives a value and why."""

from __future__ import annotations

from napari_segtool.training.configure._chooser import Choice, Chooser
from napari_segtool.training.configure._variation import SCALED, is_set
from napari_segtool.training.losses._text import EXAMPLE

_PAINT_LOSS = "cross-entropy"
_RARE_SHARE = 0.02
_CLOSE_SHARE, _FEWEST_GAPS, _MOST_GAPS = 0.3, 0.002, 0.5
_BORDER_WEIGHT = 10.0
_EMPTY_SHARE = 0.1
_EFFECTS = {"fluorescence": "light", "colour": "light", "phase contrast": "light"}
"""Variations of grey values for a modality. Those of one instrument (em, ultrasound) are chosen by hand until they are measured to be better than
the general ones."""


def augmentation(at: Chooser) -> Choice:
    if at.found.painted:
        kept = ", ".join(name for name in SCALED if is_set(at.params, name))
        return "strong", f"Little is labelled, so what there is is shown in many variations{f'; as set: {kept}' if kept else ''}."
    return "normal", "Every pixel is labelled: usual variation."


def turn(at: Chooser) -> Choice:
    if at.found.upright:
        return "upright", "The images differ from top to bottom, all in the same way: they are turned a little, and never upside down."
    return "any", "No up and down is seen in the images: they are turned and mirrored any way."


def effects(at: Chooser) -> Choice:
    """Without augmentation only the effects of a modality that was asked for remain."""
    if at.params.augmentation != "none" or is_set(at.params, "intensity"):
        return "auto", ""
    if at.params.modality == "auto":
        return "none", ""
    return at.params.modality, f"Of all variation only what modality={at.params.modality} stands for is asked for."


def modality(at: Chooser) -> Choice:
    seen = at.found.modality
    varied = _EFFECTS.get(seen, "general")
    if at.params.effects != "auto":
        return varied, ""
    looks = {"unknown": "The grey values do not tell what made the images", "colour": "The images are in colour"}.get(seen, f"The images look like {seen}")
    own = {"electron microscopy": "em", "ultrasound": "ultrasound"}.get(seen)
    if own:
        return varied, f"{looks}: general variations, with which it was measured; modality={own} adds what its instrument does."
    return varied, f"{looks}: {'brightness and contrast vary more than elsewhere' if varied == 'light' else 'general variations'}."


def grey_values(at: Chooser) -> Choice:
    if at.found.empty_share >= _EMPTY_SHARE and at.found.one_type:
        return "fixed", f"{100 * at.found.empty_share:.0f} % of the planes are nearly empty: scaled by themselves, they would be nothing but noise."
    return "plane", "Each plane is scaled by itself, so bit depth and exposure do not matter."


def optimiser(at: Chooser) -> Choice:
    if at.found.painted:
        return "adamw", "From strokes the quickest optimiser, Muon, learns the strokes by heart; AdamW does so later."
    if at.pretrained:
        return "adamw", "What the network has learned before is to be adjusted, not turned: AdamW takes smaller steps than Muon."
    return "muon", "Muon needs fewer steps than AdamW."


def loss(at: Chooser) -> Choice:
    if at.found.painted:
        return _PAINT_LOSS, "From strokes, Dice would make the network too sure of itself."
    rare = at.found.rarest_share
    if rare < _RARE_SHARE:
        return (
            EXAMPLE,
            f"The rarest class has {100 * rare:.2g} % of the pixels: it is drawn as often as others, its pixels count more, and Dice minds no rarity.",
        )
    return (
        EXAMPLE,
        f"Cross-entropy for each pixel and Dice for the whole; the rarest class has {100 * rare:.0f} % of the pixels, and counts a little more for it.",
    )


def border_weight(at: Chooser) -> Choice:
    gaps = at.found.gaps
    if gaps is None:
        return 0.0, "Strokes do not show where objects touch."
    if gaps.close_share >= _CLOSE_SHARE and gaps.gap_share < _FEWEST_GAPS:
        return 0.0, f"Only {100 * gaps.gap_share:.2g} % of the background lies in narrow gaps between objects: too little to matter."
    if gaps.objects < 2 or gaps.close_share < _CLOSE_SHARE:
        return 0.0, f"{100 * gaps.close_share:.0f} % of the objects lie close to another: nothing special is needed to keep them apart."
    if gaps.gap_share > _MOST_GAPS:
        return 0.0, f"The first class is what lies between objects ({100 * gaps.gap_share:.0f} % of it in narrow gaps): as a class it counts already."
    return (
        _BORDER_WEIGHT,
        f"{100 * gaps.close_share:.0f} % of the objects lie close to another, only {100 * gaps.gap_share:.1f} % of the background between: that counts more.",
    )
