"""`s2bnn import-torch`."""

from __future__ import annotations

from pathlib import Path

import click

from s2bnn_tf.cli.group import main
from s2bnn_tf.cli.options import FILE, RUN, json_option
from s2bnn_tf.cli.output import print_result, say


@main.command(name="import-torch")
@click.argument("checkpoint", type=FILE)
@click.argument("output_dir", type=RUN)
@click.option(
    "--architecture",
    metavar="NAME",
    help="resnet18, resnet34, resnet50, resnet50_w2, resnet50_w4 or reactnet. "
    "Recognized from the file unless given; refused if the file is of another.",
)
@click.option(
    "--step",
    type=click.Choice(["1", "2"]),
    help="Of a reactnet, whose file does not tell: 1 has real weights, 2 binary. 2 unless given.",
)
@click.option(
    "--data",
    metavar="SOURCE",
    default="folder:/data/imagenet",
    show_default=True,
    help="Images for later commands: digits, idx:DIR or folder:DIR.",
)
@click.option("--image-size", default=224, show_default=True, type=click.IntRange(8))
@json_option
def import_torch(
    checkpoint: Path,
    output_dir: Path,
    architecture: str | None,
    step: str | None,
    data: str,
    image_size: int,
    as_json: bool,
) -> None:
    """Make a run directory of a PyTorch CHECKPOINT, tensor by tensor.

    Of torchvision, MoCo v1 to v3, SwAV, SimSiam, DINO, Barlow Twins, lightly or S2-BNN.
    Nothing in the file is executed. .safetensors files need no PyTorch.

    \b
    Example:
      s2bnn import-torch moco_v2_800ep_pretrain.pth.tar runs/imagenet/teacher
      s2bnn import-torch checkpoint_0199.pth.tar runs/s2bnn --architecture reactnet --step 2
    """
    from s2bnn_tf.torch_import import import_torch as import_checkpoint

    record = import_checkpoint(
        checkpoint,
        output_dir,
        architecture=architecture,
        step=None if step is None else int(step),
        data=data,
        image_size=image_size,
        progress=say,
    )
    print_result(record, as_json, lambda: _describe(record, output_dir))


def _describe(record: dict, output_dir: Path) -> str:
    parts = [f"{record['architecture']}, named as by {record['named_as']}"]
    if record["binarize_weights"] is not None:
        parts.append("binary weights" if record["binarize_weights"] else "real weights")
    if record["head"] != "none":
        parts.append(f"head {record['head']!r} to {record['embedding_dim']}")
    if record["classes"]:
        parts.append(f"a classifier of {record['classes']} classes")
    if record["queue_size"]:
        parts.append(f"key encoder and queue of {record['queue_size']}")
    ignored = [f"  {len(names)}: {reason}" for reason, names in record["ignored"].items()]
    lines = [f"{'; '.join(parts)}.", f"{record['tensors_used']} tensors used, ignored:", *ignored]
    if not ignored:
        lines[1] = f"{record['tensors_used']} tensors used, none ignored."
    lines.append(f"{output_dir} is a run directory: s2bnn eval knn {output_dir} --data SOURCE")
    return "\n".join(lines)
