"""Adam and SGD with weight decay as the papers have it: L2 inside the gradient."""

from __future__ import annotations

import tensorflow as tf

from s2bnn_tf.config import OptimizerConfig

keras = tf.keras


class _L2Gradient:
    """Adds `l2 * variable` to every gradient before the optimizer sees it.

    This is PyTorch's `weight_decay`. Keras's own is decoupled (AdamW), another method.
    """

    def __init__(self, *args, l2: float = 0.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.l2 = l2

    def compute_gradients(self, loss, var_list, tape=None):
        pairs = super().compute_gradients(loss, var_list, tape)
        if self.l2 == 0.0:
            return pairs
        return [(gradient + self.l2 * variable, variable) for gradient, variable in pairs]

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class Adam(_L2Gradient, keras.optimizers.Adam):
    """Adam with PyTorch's epsilon, 1e-8, and L2 inside the gradient."""


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class SGD(_L2Gradient, keras.optimizers.SGD):
    """SGD with L2 inside the gradient."""


def build_optimizer(
    config: OptimizerConfig, learning_rate: keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    """The optimizer of a recipe: Adam, or SGD with momentum 0.9."""
    if config.name == "adam":
        return Adam(learning_rate, epsilon=1e-8, l2=config.weight_decay)
    return SGD(learning_rate, momentum=0.9, l2=config.weight_decay)
