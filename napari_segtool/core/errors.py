"""The errors a user may meet: what was got, what was wanted, and what to do about it."""

from __future__ import annotations


class SegtoolError(Exception):
    """Base of every expected error; anything else that escapes is a bug.

    Parameters
    ----------
    message
        What was got and what was wanted, in the user's words.
    hint
        What to do next; may be empty.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.hint))


def _rebuild(kind: type[SegtoolError], message: str, hint: str) -> SegtoolError:
    return kind(message, hint=hint)


class AxesError(SegtoolError):
    """The axes named do not fit the data."""


class ShapeError(SegtoolError):
    """Two arrays that must match in shape do not."""


class SpacingError(SegtoolError):
    """The spacing given does not fit the axes, or is not positive."""


class FormatError(SegtoolError):
    """A file cannot be read: corrupt, truncated, empty, missing, or of an unknown format."""


class StorageError(SegtoolError):
    """A result cannot be written: no permission, no space, or no such folder."""


class ParameterError(SegtoolError):
    """A parameter is unknown, of the wrong type, or out of its bounds."""


class DataError(SegtoolError):
    """The pixels cannot be worked on: empty, all NaN, the wrong dtype, or nothing to see."""


class PaintError(SegtoolError):
    """The paint or labels cannot be learned from: empty, one class only, or read the wrong way."""


class ModelError(SegtoolError):
    """A model or run folder is missing, damaged, or does not fit the image."""


class DeviceError(SegtoolError):
    """The compute device is absent or out of memory."""


class MissingExtraError(SegtoolError):
    """An optional library is needed for this and not installed."""
