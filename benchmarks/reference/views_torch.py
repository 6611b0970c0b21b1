"""Measure the two-view images per second of a PyTorch DataLoader, for this comparison only.

    python views_torch.py torchvision|albumentations FOLDER [--workers 2] [--batches 8]

Needs `pip install torch torchvision albumentations`. The light augmentation at 224 pixels, an
image decoded once for both views. torchvision's is the pipeline of the reference implementation
(Pillow); albumentations' is its nearest form, whose resizing has no antialiasing.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def torchvision_views():
    from PIL import Image, ImageFilter
    from torchvision import transforms

    class Blur:
        def __call__(self, image):
            sigma = np.random.uniform(0.1, 2.0)
            return image.filter(ImageFilter.GaussianBlur(radius=sigma))

    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(224, scale=(0.2, 1.0)),
            transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.6),
            transforms.RandomGrayscale(p=0.2),
            transforms.RandomApply([Blur()], p=0.2),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )

    def views(path):
        image = Image.open(path).convert("RGB")
        return transform(image), transform(image)

    return views


def albumentations_views():
    import albumentations as A
    import cv2
    from albumentations.pytorch import ToTensorV2

    cv2.setNumThreads(0)
    transform = A.Compose(
        [
            A.RandomResizedCrop((224, 224), scale=(0.2, 1.0)),
            A.ColorJitter((0.6, 1.4), (0.6, 1.4), (0.6, 1.4), (-0.1, 0.1), p=0.6),
            A.ToGray(p=0.2),
            A.GaussianBlur(blur_limit=0, sigma_limit=(0.1, 2.0), p=0.2),
            A.HorizontalFlip(p=0.5),
            A.Normalize(MEAN, STD),
            ToTensorV2(),
        ]
    )

    def views(path):
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        return transform(image=image)["image"], transform(image=image)["image"]

    return views


class Views(torch.utils.data.Dataset):
    """Two views of each file in a folder, repeated without end."""

    def __init__(self, folder: Path, views):
        self.paths = sorted(folder.glob("*.jpg"))
        self.views = views

    def __len__(self):
        return 100 * len(self.paths)

    def __getitem__(self, index):
        return self.views(self.paths[index % len(self.paths)])


def cpu_seconds(process: int) -> float:
    """Return the processor time of a process so far, in user code and in the kernel."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", choices=["torchvision", "albumentations"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=64)
    arguments = parser.parse_args()
    make = torchvision_views if arguments.library == "torchvision" else albumentations_views
    loader = torch.utils.data.DataLoader(
        Views(arguments.folder, make()),
        batch_size=arguments.batch_size,
        shuffle=True,
        num_workers=arguments.workers,
        worker_init_fn=lambda _: torch.set_num_threads(1),
    )
    batches = iter(loader)
    for _ in range(2 * arguments.workers):  # as many as the workers prefetch
        next(batches)
    processes = [os.getpid(), *(worker.pid for worker in batches._workers)]
    begin, cpu = time.perf_counter(), sum(map(cpu_seconds, processes))
    for _ in range(arguments.batches):
        next(batches)
    images = arguments.batches * arguments.batch_size
    found = {
        "images_per_second": images / (time.perf_counter() - begin),
        "cpu_ms_an_image": 1000 * (sum(map(cpu_seconds, processes)) - cpu) / images,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
