"""The image tower of a network that compares pictures with texts, whatever its architecture."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.config import Config, DataConfig, ObjectiveConfig, StudentConfig
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.image_size import ImageSize
from s2bnn_tf.runs import build_encoder
from s2bnn_tf.torch_import.assembly import Imported
from s2bnn_tf.torch_import.tensors import TensorAccount

_TEXTS = "of the text tower, or what it is compared with"


def import_tower(
    account: TensorAccount,
    student: StudentConfig,
    name: str,
    fill: Callable[[Encoder, TensorAccount], None],
    *,
    own: Iterable[str],
    named_as: str,
    prefix: str,
    architecture: str | None,
    step: int | None,
    data: str,
    image_size: ImageSize,
) -> Imported:
    """Build an image tower that was recognized, and fill it.

    Args:
        account: The tensors, without `prefix`.
        student: The recipe of the tower.
        name: Its architecture.
        fill: Takes the tensors of the tower.
        own: How the names of its tensors begin; all others are left out.
        named_as: Who named the tensors so, for the record: `OpenAI` or `Hugging Face`.
        prefix: What comes before the names in the file.
        architecture: What the user takes it for; None for anything.
        step: Must be None.
        data: The source of images for later commands.
        image_size: The side of the images in pixels, or their height and width.

    Raises:
        ConfigError: If `architecture` or `step` is impossible for this file.
        ModelError: If the tensors do not fit one by one.
    """
    if architecture not in (None, name):
        raise ConfigError(
            f"The file looks like {name} and not like {architecture}: correct --architecture, or "
            "leave it out."
        )
    if step is not None:
        raise ConfigError(f"--step is for a reactnet; the file looks like {name}: leave it out.")
    config = Config(
        data=DataConfig(source=data, image_size=image_size),
        student=student,
        objective=ObjectiveConfig(contrastive_weight=1.0, distillation_weight=0.0),
    )
    encoder = build_encoder(config)
    fill(encoder, account)
    account.ignore_others(tuple(own), _TEXTS)
    account.close(name)
    record = {
        "named_as": named_as,
        "prefix": prefix,
        "architecture": name,
        "binarize_weights": None,
        "head": "none",
        "embedding_dim": student.embedding_dim,
        "classes": None,
        "queue_size": None,
        "tensors_used": account.used,
        "ignored": account.ignored,
    }
    return Imported(config, encoder, None, None, None, record)
