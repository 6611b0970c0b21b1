"""Goldens from torchvision's random transforms: the parameters they draw, the pixels they make.

    pip install torch==2.14.1 torchvision==0.29.1
    python tests/golden/make_torchvision.py

writes tests/golden/torchvision.npz. torchvision does not work with the version of torch that
the other tests use. Run this by hand; the tests need neither.
"""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image, ImageFilter
from torchvision.transforms import v2 as transforms
from torchvision.transforms.v2 import functional as F

DRAWS = 3000
SIZES = ((375, 500), (96, 96), (40, 200))
SIGMAS = (0.1, 0.5, 1.0, 2.0)


def draws() -> dict[str, np.ndarray]:
    """Parameters of many random transforms."""
    torch.manual_seed(0)
    random.seed(0)
    found = {}
    for height, width in SIZES:
        crop = transforms.RandomResizedCrop(224, scale=(0.2, 1.0))
        image = torch.zeros(3, height, width)
        boxes = [crop.make_params([image]) for _ in range(DRAWS)]
        keys = ("top", "left", "height", "width")
        found[f"crop_{height}x{width}"] = np.array(
            [[box[key] for key in keys] for box in boxes], np.int16
        )
    jitter = transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)
    drawn = [jitter.make_params([]) for _ in range(DRAWS)]
    keys = ("brightness_factor", "contrast_factor", "saturation_factor", "hue_factor")
    found["jitter"] = np.array([[float(one[key]) for key in keys] for one in drawn], np.float32)
    found["jitter_order"] = np.array([list(map(int, one["fn_idx"])) for one in drawn], np.int8)
    blur = transforms.GaussianBlur(23, sigma=(0.1, 2.0))
    found["blur_sigma"] = np.array([blur.make_params([])["sigma"][0] for _ in range(DRAWS)])
    return found


def chosen() -> dict[str, np.ndarray]:
    """Which of many color images the transforms turn gray, mirror or blur."""
    torch.manual_seed(1)
    image = torch.linspace(0, 1, 3 * 8 * 8).reshape(3, 8, 8)
    operations = {
        "grey": transforms.RandomGrayscale(0.2),
        "flip": transforms.RandomHorizontalFlip(0.5),
        "blur": transforms.RandomApply([transforms.GaussianBlur(3, 1.0)], 0.2),
    }
    return {
        f"changed_{name}": np.array(
            [not torch.equal(operation(image), image) for _ in range(DRAWS)]
        )
        for name, operation in operations.items()
    }


def pixels() -> dict[str, np.ndarray]:
    """The pixels that fixed parameters make from a small picture."""
    picture = photograph()
    tensor = torch.from_numpy(picture).permute(2, 0, 1)
    as_float = tensor.float() / 255
    found: dict[str, np.ndarray] = {"picture": picture}
    boxes = np.array([[0, 0, 60, 80], [5, 7, 40, 33], [20, 10, 13, 50], [30, 40, 3, 2]], np.int16)
    found["boxes"] = boxes
    found["crops"] = np.stack(
        [to_array(F.resized_crop(as_float, *map(int, box), [32, 32])) for box in boxes]
    )
    pillow = Image.fromarray(picture)
    found["crops_pillow"] = np.stack(
        [np.array(F.resized_crop(pillow, *map(int, box), [32, 32])) for box in boxes]
    )
    amounts = np.array([[1.3, 0.7, 1.4, 0.08], [0.6, 1.35, 0.65, -0.1]], np.float32)
    orders = np.array(list(itertools.permutations(range(4)))[::5], np.int8)
    found["amounts"], found["orders"] = amounts, orders
    small = F.resize(as_float, [15, 20], antialias=True)
    found["small"] = to_array(small)
    found["jittered"] = np.stack(
        [to_array(jitter(small, amount, order)) for amount in amounts for order in orders]
    )
    found["grey"] = to_array(F.rgb_to_grayscale(small, num_output_channels=3))
    found["sigmas"] = np.array(SIGMAS)
    found["blurred"] = np.stack(
        [to_array(F.gaussian_blur(small, [15, 15], [sigma, sigma])) for sigma in SIGMAS]
    )
    blurred = [pillow.filter(ImageFilter.GaussianBlur(sigma)) for sigma in SIGMAS]
    found["blurred_pillow"] = np.stack([np.array(image) for image in blurred])
    return found


def jitter(image: torch.Tensor, amounts: np.ndarray, order: np.ndarray) -> torch.Tensor:
    operations = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
    for index in order:
        image = operations[index](image, float(amounts[index]))
    return image


def to_array(image: torch.Tensor) -> np.ndarray:
    """`(H, W, 3)`, 0-255, float32."""
    return (255 * image).permute(1, 2, 0).numpy().astype(np.float32)


def photograph() -> np.ndarray:
    """A picture with edges, gradients and all hues, `(60, 80, 3)` uint8."""
    rows, columns = np.mgrid[0:60, 0:80]
    waves = [np.sin(rows / 7 + columns / (5 + 2 * c) + c) * 80 + 128 for c in range(3)]
    picture = np.stack(waves, axis=-1)
    picture[20:40, 30:50] = (250, 20, 90)
    picture[45:, :25] = (10, 240, 30)
    noise = np.random.RandomState(0).normal(0, 12, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def main() -> None:
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    arrays = {**draws(), **chosen(), **pixels(), "versions": np.array(str(versions))}
    np.savez_compressed(Path(__file__).with_name("torchvision.npz"), **arrays)


if __name__ == "__main__":
    main()
