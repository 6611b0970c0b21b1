"""A sentence beside an accuracy that says more about its training than about the model."""

from __future__ import annotations

import math

from s2bnn_tf.text import counted

FEW_STEPS = 200  # fewer train no classifier, whatever is below it
_HARDLY_LEARNED = 0.8  # of the loss of a guess


def training_hint(
    *,
    steps: int,
    loss: float,
    classes: int,
    top1: float,
    remedy: str,
    linear: float | None = None,
) -> str | None:
    """Say why a classifier that was trained step by step may be worse than it has to be.

    Args:
        steps: The number of steps that it was trained for.
        loss: Its last cross-entropy in nats.
        classes: The number of classes, at least 2.
        top1: Its accuracy on the test images, 0 to 1.
        remedy: How it gets more steps, as in "give more --epochs".
        linear: The accuracy of a linear probe on the same images, if it is known.

    Returns:
        A sentence; None if there is nothing to say.
    """
    if steps < FEW_STEPS:
        trained = counted(steps, "step")
        return f"It was trained for {trained}, which is too short to judge by; {remedy}."
    if loss > _HARDLY_LEARNED * math.log(classes):
        return (
            f"It has hardly learned its own training images (loss {loss:.2f}, and "
            f"{math.log(classes):.2f} for a guess); {remedy}, or another --learning-rate."
        )
    if linear is not None and top1 < linear:
        return (
            f"That is less than the linear probe of the frozen features has "
            f"({100 * linear:.1f} %); {remedy}, or a smaller --learning-rate."
        )
    return None
