"""`s2bnn import-torch`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import (
    FILE,
    RUN,
    images_later_option,
    input_size_option,
    json_option,
)
from s2bnn_tf.cli.output import print_result
from s2bnn_tf.image_size import ImageSize
from s2bnn_tf.progress import show_progress


@main.command(name="import-torch")
@click.argument("checkpoint", type=FILE)
@click.argument("output_dir", type=RUN)
@click.option(
    "--architecture",
    metavar="NAME",
    help="One of resnet18, resnet34, resnet50, resnet50_w2, resnet50_w4, reactnet, "
    "efficientnet_lite0, convnextv2_atto to convnextv2_large, clip_vit_b32, clip_vit_b16, "
    "clip_rn50, tinyclip_vit_39m, siglip_vit_b16, dino_vits16, dino_vits8, dino_vitb16, "
    "dino_vitb8, and dinov2_vits14, dinov2_vitb14 and dinov2_vitl14, these three also with _reg. "
    "It must be that of the file. Default: recognized from the file.",
)
@click.option(
    "--step",
    type=click.Choice(["1", "2"]),
    help="The training step of a reactnet, which its file does not hold: 1 has real weights, "
    "2 has binary weights. Default: 2.",
)
@click.option(
    "--prefix",
    metavar="PREFIX",
    help="Import the network whose tensor names begin with this, such as online_encoder. "
    "Needed if the file holds more than one network.",
)
@click.option(
    "--ema",
    is_flag=True,
    help="Import the averaged weights, such as model_ema, instead of the trained ones.",
)
@images_later_option
@input_size_option
@json_option
def import_torch(
    checkpoint: Path,
    output_dir: Path,
    architecture: str | None,
    step: str | None,
    prefix: str | None,
    ema: bool,
    data: str,
    image_size: ImageSize,
    as_json: bool,
) -> None:
    """Turn a PyTorch CHECKPOINT into a run directory, tensor by tensor.

    It can come from torchvision, MoCo v1 to v3, SwAV, SimSiam, DINO, DINOv2, Barlow Twins, lightly,
    Hugging Face or S2-BNN, or hold a ResNet or a vision transformer below any prefix. Nothing in
    the file is executed, and .safetensors files need no PyTorch.

    \b
    Example:
      s2bnn import-torch moco_v2_800ep_pretrain.pth.tar runs/imagenet/teacher
      s2bnn import-torch checkpoint_0199.pth.tar runs/s2bnn --architecture reactnet --step 2
      s2bnn import-torch byol.ckpt runs/byol --prefix online_encoder --ema
    """
    from s2bnn_tf.torch_import import import_torch as import_checkpoint

    record = import_checkpoint(
        checkpoint,
        output_dir,
        architecture=architecture,
        step=None if step is None else int(step),
        prefix=prefix,
        ema=ema,
        data=data,
        image_size=image_size,
        progress=show_progress,
    )
    print_result(record, as_json, lambda: _describe(record, output_dir))


def _describe(record: dict[str, Any], output_dir: Path) -> str:
    parts = [f"{record['architecture']}, with the tensor names of {record['named_as']}"]
    if record["binarize_weights"] is not None:
        parts.append("binary weights" if record["binarize_weights"] else "real weights")
    if record["head"] != "none":
        parts.append(f"a head {record['head']!r} of width {record['embedding_dim']}")
    if record["classes"]:
        parts.append(f"a classifier with {record['classes']} classes")
    if record["queue_size"]:
        parts.append(f"a key encoder and a queue of {record['queue_size']} keys")
    averages = record["averaged_weights"]
    if averages and record["averaged_weights_used"]:
        parts.append(f"the averaged weights of {averages}")
    ignored = [f"  {len(names)}: {reason}" for reason, names in record["ignored"].items()]
    used = f"{record['tensors_used']} tensors were used"
    used += ", and these were ignored:" if ignored else ", and none was ignored."
    next_step = (
        f"{output_dir} is a run directory; next, run: s2bnn eval knn {output_dir} --data SOURCE"
    )
    lines = [f"{'; '.join(parts)}.", used, *ignored]
    if averages and not record["averaged_weights_used"]:
        lines.append(f"The file also holds averaged weights ({averages}); --ema imports those.")
    return "\n".join([*lines, next_step])
