"""Adam and SGD with weight decay as the papers have it, L2 inside the gradient; and LAMB."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from s2bnn_tf.config import OptimizerConfig

keras = tf.keras


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class Adam(keras.optimizers.Adam):
    """Adam as PyTorch has it: weight decay is L2 inside the gradient, epsilon outside the root.

    With `g = gradient + l2 * w`, `m` and `v` the moving averages of `g` and `g^2`:
    `w -= learning_rate * m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon)`

    Args:
        learning_rate: A number or a schedule.
        l2: Weight decay. Keras's own `weight_decay` is decoupled (AdamW), another method.
        **kwargs: All else that `keras.optimizers.Adam` takes; epsilon is 1e-8 unless given.

    References:
        https://arxiv.org/abs/1412.6980, algorithm 1.
    """

    def __init__(self, learning_rate=1e-3, *, l2: float = 0.0, epsilon: float = 1e-8, **kwargs):
        kwargs.setdefault("jit_compile", False)  # the update is one operation already
        super().__init__(learning_rate, epsilon=epsilon, **kwargs)
        self.l2 = l2

    def _distributed_apply_gradients_fn(self, distribution, grads_and_vars, **kwargs):
        # Once a step and not once a variable, which would take most of the time to trace updates.
        dtype = grads_and_vars[0][1].dtype
        beta_1, beta_2 = (tf.constant(beta, dtype) for beta in (self.beta_1, self.beta_2))
        step = tf.cast(self.iterations + 1, dtype)
        beta_2_power = tf.pow(beta_2, step)
        self._of_this_step = {
            "beta1_power": tf.pow(beta_1, step),
            "beta2_power": beta_2_power,
            "lr": tf.cast(self.learning_rate, dtype),
            "beta1": beta_1,
            "beta2": beta_2,
            # The operation adds epsilon to the uncorrected root.
            "epsilon": self.epsilon * tf.sqrt(1 - beta_2_power),
        }
        return super()._distributed_apply_gradients_fn(distribution, grads_and_vars, **kwargs)

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        # One fused operation a variable: Keras's own form is sixteen, which doubles
        # the time to trace a step of a deep network.
        index = self._index_dict[self._var_key(variable)]
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].handle,
            v=self._velocities[index].handle,
            grad=_with_l2(gradient, variable, self.l2),
            **self._of_this_step,
        )

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class SGD(keras.optimizers.SGD):
    """SGD with weight decay as L2 inside the gradient.

    Args:
        learning_rate: A number or a schedule.
        l2: Weight decay.
        **kwargs: All else that `keras.optimizers.SGD` takes.
    """

    def __init__(self, learning_rate=0.01, *, l2: float = 0.0, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.l2 = l2

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        super().update_step(_with_l2(gradient, variable, self.l2), variable)

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}


def _with_l2(gradient: tf.Tensor, variable: tf.Variable, l2: float) -> tf.Tensor:
    return gradient + l2 * variable if l2 else gradient


def build_optimizer(
    config: OptimizerConfig,
    learning_rate: keras.optimizers.schedules.LearningRateSchedule,
    variables: Sequence[tf.Variable],
) -> keras.optimizers.Optimizer | keras.optimizers.legacy.Optimizer:
    """The optimizer of a recipe: Adam, SGD with momentum 0.9, or LAMB.

    LAMB is for batches of thousands of images, with which Adam's steps are too
    uneven from layer to layer; its weight decay is decoupled, as its paper has it
    (https://arxiv.org/abs/1904.00962).

    Args:
        config: The recipe's.
        learning_rate: The schedule.
        variables: What will be trained.
    """
    if config.name == "lamb":
        # Imported here: it takes a second, which only its users should wait.
        import tensorflow_addons as tfa

        return tfa.optimizers.LAMB(learning_rate, weight_decay=config.weight_decay)
    if config.name == "adam":
        optimizer = Adam(learning_rate, l2=config.weight_decay)
    else:
        optimizer = SGD(learning_rate, momentum=0.9, l2=config.weight_decay)
    optimizer.build(variables)
    return optimizer
