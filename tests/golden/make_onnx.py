"""Make onnx/*.onnx and onnx.npz: networks exported from PyTorch, and what PyTorch computes.

Needs torch, onnx, onnxscript and onnxruntime in one environment; the tests need onnxruntime alone.

    python tests/golden/make_onnx.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from torch import nn

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "onnx"
SIZE = 32
MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


class Unusual(nn.Module):
    """Operations that few exporters and importers agree on."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 5, stride=2, padding=2, padding_mode="reflect")
        self.grouped = nn.Conv2d(16, 16, 3, padding=2, dilation=2, groups=4)
        self.normal = nn.GroupNorm(4, 16)
        self.up = nn.ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1)
        self.instance = nn.InstanceNorm2d(8, affine=True)
        self.prelu = nn.PReLU(8)
        self.mix = nn.Parameter(torch.randn(8, 12))

    def forward(self, x):
        x = nn.functional.hardswish(self.normal(self.grouped(self.stem(x))))
        x = nn.functional.max_pool2d(x, 3, stride=2, ceil_mode=True)
        x = nn.functional.interpolate(x, scale_factor=1.5, mode="bilinear", align_corners=False)
        x = self.prelu(self.instance(self.up(x)))
        x = nn.functional.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
        x = torch.roll(x, (1, 2), dims=(2, 3)) + torch.cumsum(x, dim=3) * 0.05
        gate = torch.sigmoid(x.amax(dim=(2, 3), keepdim=True))
        x = torch.einsum("nchw,cd->ndhw", x * gate, self.mix)
        x = nn.functional.mish(nn.functional.pixel_shuffle(x, 2))
        pooled = x.flatten(2).std(dim=2), x.flatten(2).logsumexp(dim=2), x.mean(dim=(2, 3))
        return torch.cat(pooled, dim=1)


class Vit(nn.Module):
    """A small vision transformer: tokens, and a vector made of them."""

    def __init__(self, width=24, depth=2, heads=3, patch=8):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, stride=patch)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, 1 + (SIZE // patch) ** 2, width))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                *(width, heads, 2 * width, 0.0, nn.functional.gelu),
                batch_first=True,
                norm_first=True,
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.positions
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return x, torch.tanh(x[:, 0])


class Plain(nn.Module):
    """A small network of convolutions, which returns a map."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, 12, 3, stride=2, padding=1), nn.BatchNorm2d(12), nn.ReLU6()),
            *(nn.Conv2d(12, 12, 3, stride=2, padding=1, groups=12), nn.BatchNorm2d(12), nn.SiLU()),
            nn.Conv2d(12, 10, 1),
        )

    def forward(self, x):
        return self.layers(x)


class OfBytes(nn.Module):
    """Takes (N, H, W, 3) of 0..255, and normalizes them by itself."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network((x.permute(0, 3, 1, 2) / 255 - MEAN) / STD)


class OfUnit(nn.Module):
    """Takes (N, 3, H, W) of 0..1, and normalizes them by itself."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network((x - MEAN) / STD)


class Pixels(CalibrationDataReader):
    def __init__(self, images):
        self.left = iter([{"image": image[None]} for image in images])

    def get_next(self):
        return next(self.left, None)


def export(network, example, name, outputs=("features",), *, new=False, batch=None):
    any_batch = {} if batch else {"dynamic_axes": {"image": {0: "n"}}}
    if new:
        any_batch = {"dynamic_shapes": None if batch else ({0: torch.export.Dim("n")},)}
        any_batch["external_data"] = False
    torch.onnx.export(
        network,
        (example,),
        FOLDER / f"{name}.onnx",
        input_names=["image"],
        output_names=list(outputs),
        dynamo=new,
        **any_batch,
    )
    without_traces(FOLDER / f"{name}.onnx")


def without_traces(path):
    """Remove where in which file each operation is from."""
    model = onnx.load(path)
    for part in (*model.graph.node, *model.graph.value_info, model.graph, model):
        part.doc_string = ""
        del part.metadata_props[:]
    for node in model.graph.node:
        node.name = ""
    onnx.save(model, path)


def randomized(network, seed):
    torch.manual_seed(seed)
    network = network()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
    return network.eval()


@torch.no_grad()
def main():
    FOLDER.mkdir(exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (6, SIZE, SIZE, 3)).astype(np.uint8)
    unit = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    x = (unit - MEAN) / STD
    unusual, vit, plain = (randomized(n, i) for i, n in enumerate((Unusual, Vit, Plain)))
    tokens, vector = vit(x)
    maps = plain(x)
    found = {
        "pixels": pixels,
        "unusual": unusual(x),
        "vit_vector": vector,
        "vit_tokens": tokens,
        "plain": maps.mean(dim=(2, 3)),
    }
    export(unusual, x[:2], "unusual")
    export(vit, x[:2], "vit_batch_of_2", ("tokens", "vector"), new=True, batch=2)
    export(vit, x[:2], "vit", ("tokens", "vector"))
    export(plain, x[:2], "plain", ("map",))
    export(plain, x[:4], "batch_of_4", ("map",), batch=4)
    export(OfUnit(plain).eval(), x[:2], "of_unit", ("map",))
    bytes_in = torch.from_numpy(pixels).float()
    export(OfBytes(plain).eval(), bytes_in[:2], "of_bytes", ("map",), new=True)
    model = onnx.load(FOLDER / "plain.onnx")
    (FOLDER / "external.weights").unlink(missing_ok=True)  # it would be appended to
    onnx.save_model(
        *(model, FOLDER / "external.onnx"),
        save_as_external_data=True,
        location="external.weights",
        size_threshold=0,
    )
    plain_file = FOLDER / "plain.onnx"
    quantize_dynamic(plain_file, FOLDER / "int8_dynamic.onnx", weight_type=QuantType.QUInt8)
    quantize_static(
        *(plain_file, FOLDER / "int8_static.onnx", Pixels(x.numpy())),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
    )
    np.savez(HERE / "onnx.npz", **{name: np.asarray(value) for name, value in found.items()})


if __name__ == "__main__":
    main()
