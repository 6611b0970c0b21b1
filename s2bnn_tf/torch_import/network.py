"""The network that a state dict describes."""

from __future__ import annotations

from dataclasses import dataclass

from s2bnn_tf.backbones import VIT_SIZES

_FEATURES = {"resnet18": 512, "resnet34": 512, "resnet50": 2048, "reactnet": 1024}
_FEATURES |= {"efficientnet_lite0": 1280}
NONE_KNOWN = "neither a ResNet nor a ReActNet nor a vision transformer nor an EfficientNet-Lite0"
_USUAL_REGISTERS = 4


@dataclass(frozen=True)
class ViTGeometry:
    """What the shapes of a vision transformer say beside its size.

    Attributes:
        patch_size: Height and width of a patch in pixels.
        registers: The number of register tokens.
        position_grid: The number of position embeddings per side.
        layer_scale: Whether it has LayerScale.
    """

    patch_size: int
    registers: int
    position_grid: int
    layer_scale: bool


@dataclass(frozen=True)
class Network:
    """The network that the names and shapes of a backbone describe.

    Attributes:
        backbone: Its name in the registry.
        width: The factor on its channel counts.
        stem: `"imagenet"` or `"small"`, or None for a network without such stems.
        vit: The geometry of a vision transformer, or None for another network.
    """

    backbone: str
    width: float
    stem: str | None
    vit: ViTGeometry | None = None

    @property
    def architecture(self) -> str:
        """The name that `--architecture` takes: `resnet50`, `resnet50_w4`, `dinov2_vits14_reg`."""
        name = self.backbone
        if self.vit is not None:
            code = "dinov2" if self.vit.layer_scale else "dino"
            letter = self.backbone.removeprefix("vit_")[0]
            name = f"{code}_vit{letter}{self.vit.patch_size}"
            if self.vit.registers:
                count = self.vit.registers
                name += "_reg" if count == _USUAL_REGISTERS else f"_reg{count}"
        return name if self.width == 1 else f"{name}_w{self.width:g}"

    @property
    def features(self) -> int:
        """The number of channels C of its features."""
        if self.vit is not None:
            return round(VIT_SIZES[self.backbone].channels * self.width)
        return round(_FEATURES[self.backbone] * self.width)
