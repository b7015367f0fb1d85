"""Images from clients: checked before they are decoded, and decoded in memory."""

from typing import IO, Any, NamedTuple

import numpy as np
from flask import current_app
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from app.errors import Invalid, field_error

FORMATS = ("JPEG", "PNG", "WEBP")
#: Longest side in pixels of the image that is analysed. Detection takes 15 s on 16 megapixels.
MAX_SIDE = 1024


class Picture(NamedTuple):
    """An image that is ready for DeepFace: upright, at most ``MAX_SIDE`` on each side."""

    pixels: NDArray[np.uint8]  # (height, width, 3), blue first
    scale: float  # pixels of the original for one of these
    field: str  # of the request that it came in


def read_image(stream: IO[bytes], field: str) -> Picture:
    """Decode a JPEG, PNG or WebP image, which is recognized by its content.

    Raises:
        werkzeug.exceptions.UnsupportedMediaType: the format is not supported.
        werkzeug.exceptions.RequestEntityTooLarge: it has more pixels than ``FACES_MAX_PIXELS``.
        app.errors.Invalid: it is broken.
    """
    limit = current_app.config["FACES_MAX_PIXELS"]
    too_large = f"The image is too large ({limit} pixels at most)."
    try:
        image: Any = Image.open(stream, formats=FORMATS)  # reads the header only
    except Image.DecompressionBombError:
        raise RequestEntityTooLarge(too_large) from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        raise UnsupportedMediaType("Send a JPEG, PNG or WebP image.") from None
    width, height = image.size
    if width * height > limit:
        raise RequestEntityTooLarge(too_large)
    try:
        image.draft("RGB", (MAX_SIDE, MAX_SIDE))  # lets JPEG decode at a smaller scale
        image = ImageOps.exif_transpose(image).convert("RGB")
    except Exception:  # decoders raise nearly everything on broken data
        raise Invalid([field_error(field, "The image is broken.")]) from None
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    pixels = np.ascontiguousarray(np.asarray(image)[:, :, ::-1])
    return Picture(pixels, max(width, height) / max(pixels.shape[:2]), field)
