"""Where an image's files lie in the storage: by the SHA-256 of the original's bytes.

A picture that people changed afterwards (a face covered, a margin cut off) lies beside the first one, under
the hash of its own bytes too: so whoever names a file always means the same bytes.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Storage keys of one image."""

    original: str
    working: str
    thumbnail: str


def files_of(sha256: bytes, picture: bytes | None = None) -> ImageFiles:
    """The keys of the image whose original has these bytes.

    `picture`: the SHA-256 of the working image that was made anew since; None: as intake made it.
    """
    name = sha256.hex()
    folder = f"{name[:2]}/{name[2:4]}"
    shown = f"{name}-{picture.hex()}" if picture else name
    return ImageFiles(
        original=f"originals/{folder}/{name}",
        working=f"working/{folder}/{shown}.jpg",
        thumbnail=f"thumbnails/{folder}/{shown}.jpg",
    )


def address_of(image_id: int, picture: bytes | None = None) -> str:
    """Where people fetch the working image: another address for another picture, for browsers keep them."""
    version = f"?v={picture.hex()[:16]}" if picture else ""
    return f"/api/v1/images/{image_id}/file{version}"
