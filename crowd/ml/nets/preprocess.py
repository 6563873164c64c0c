"""From a picture to what a net takes: stored with each model, so training and serving do the same."""

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How an image becomes a tensor: squashed to `size` x `size` px, then (value - mean) / std per channel.

    Values are 0 to 1 before normalisation, channels red, green, blue. `size` None keeps the image's own
    size (detectors resize and normalise by themselves).
    """

    size: int | None
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __call__(self, image: Image.Image) -> Tensor:
        """A Pillow image of any mode to (3, size, size) float32, or to (3, H, W) if `size` is None."""
        return self.normalise(self.resize(image))

    def resize(self, image: Image.Image) -> Image.Image:
        """The image as RGB, squashed; where augmentation of pixels goes, it goes after this."""
        image = image.convert("RGB")
        if self.size is None or image.size == (self.size, self.size):
            return image
        return image.resize((self.size, self.size), Image.Resampling.BILINEAR)

    def normalise(self, image: Image.Image) -> Tensor:
        """An RGB image of width W and height H to (3, H, W) float32."""
        width, height = image.size
        pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        values = pixels.view(height, width, 3).permute(2, 0, 1).float() / 255
        mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (self.mean, self.std))
        return ((values - mean) / std).contiguous()
