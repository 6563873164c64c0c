"""Where an image's files lie in the storage: by the SHA-256 of the original's bytes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Storage keys of one image."""

    original: str
    working: str
    thumbnail: str


def files_of(sha256: bytes) -> ImageFiles:
    """The keys of the image whose original has these bytes."""
    name = sha256.hex()
    folder = f"{name[:2]}/{name[2:4]}"
    return ImageFiles(
        original=f"originals/{folder}/{name}",
        working=f"working/{folder}/{name}.jpg",
        thumbnail=f"thumbnails/{folder}/{name}.jpg",
    )
