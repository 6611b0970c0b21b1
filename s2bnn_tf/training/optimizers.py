"""Adam and SGD with the papers' weight decay, L2 inside the gradient; and LAMB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from s2bnn_tf.config import OptimizerConfig

keras = tf.keras


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class Adam(keras.optimizers.Adam):
    """Adam as PyTorch defines it: weight decay is L2 inside the gradient, epsilon outside the root.

    With `g = gradient + l2 * w`, `m` and `v` the moving averages of `g` and `g^2`:
    `w -= learning_rate * m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon)`

    Args:
        learning_rate: A number or a schedule.
        l2: The weight decay. Keras's own `weight_decay` is decoupled (AdamW), another method.
        epsilon: The constant that keeps the denominator above 0.
        **kwargs: The other arguments of `keras.optimizers.Adam`.

    References:
        Adam, https://arxiv.org/abs/1412.6980, algorithm 1.
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        *,
        l2: float = 0.0,
        epsilon: float = 1e-8,
        **kwargs: Any,
    ):
        kwargs.setdefault("jit_compile", False)  # the update is one operation already
        super().__init__(learning_rate, epsilon=epsilon, **kwargs)
        self.l2 = l2

    def _distributed_apply_gradients_fn(
        self, distribution: Any, grads_and_vars: Any, **kwargs: Any
    ) -> Any:
        # Once per step: once per variable would take most of the time that tracing takes.
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
        # One fused operation per variable: Keras's own form takes sixteen, which doubles
        # the time to trace a step of a deep network.
        index = self._index_dict[self._var_key(variable)]
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].handle,
            v=self._velocities[index].handle,
            grad=_with_l2(gradient, variable, self.l2),
            **self._of_this_step,
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "l2": self.l2}


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class SGD(keras.optimizers.SGD):
    """SGD with weight decay as L2 inside the gradient.

    Args:
        learning_rate: A number or a schedule.
        l2: The weight decay.
        **kwargs: The other arguments of `keras.optimizers.SGD`.
    """

    def __init__(self, learning_rate: Any = 0.01, *, l2: float = 0.0, **kwargs: Any):
        super().__init__(learning_rate, **kwargs)
        self.l2 = l2

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        super().update_step(_with_l2(gradient, variable, self.l2), variable)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "l2": self.l2}


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class LAMB(keras.optimizers.Adam):
    """LAMB: Adam's step with decoupled weight decay, at each layer as long as the layer's weights.

    With `m` and `v` the moving averages of `g` and `g^2`:
    `u = m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon) + decay * w`
    `w -= learning_rate * (|w| / |u|) * u`, where the ratio is 1 if a norm is 0.

    Args:
        learning_rate: A number or a schedule.
        decay: The weight decay. Keras's own `weight_decay` acts outside of the ratio.
        epsilon: The constant that keeps the denominator above 0.
        **kwargs: The other arguments of `keras.optimizers.Adam`.

    References:
        LAMB, https://arxiv.org/abs/1904.00962, algorithm 2.
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        *,
        decay: float = 0.0,
        epsilon: float = 1e-6,
        **kwargs: Any,
    ):
        kwargs.setdefault("jit_compile", False)  # as in Adam above: compiling takes long
        super().__init__(learning_rate, epsilon=epsilon, **kwargs)
        self.decay = decay

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        dtype = variable.dtype
        beta_1, beta_2 = (tf.constant(beta, dtype) for beta in (self.beta_1, self.beta_2))
        step = tf.cast(self.iterations + 1, dtype)
        index = self._index_dict[self._var_key(variable)]
        m, v = self._momentums[index], self._velocities[index]
        m.assign(beta_1 * m + (1 - beta_1) * gradient)
        v.assign(beta_2 * v + (1 - beta_2) * tf.square(gradient))
        root = tf.sqrt(v / (1 - tf.pow(beta_2, step)))
        update = m / (1 - tf.pow(beta_1, step)) / (root + self.epsilon) + self.decay * variable
        length, update_length = tf.norm(variable), tf.norm(update)
        both = tf.logical_and(length > 0, update_length > 0)
        ratio = tf.where(both, tf.math.divide_no_nan(length, update_length), 1.0)
        variable.assign_sub(ratio * tf.cast(self.learning_rate, dtype) * update)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "decay": self.decay}


def _with_l2(gradient: tf.Tensor, variable: tf.Variable, l2: float) -> tf.Tensor:
    return gradient + l2 * variable if l2 else gradient


def build_optimizer(
    config: OptimizerConfig,
    learning_rate: keras.optimizers.schedules.LearningRateSchedule,
    variables: Sequence[tf.Variable],
) -> keras.optimizers.Optimizer:
    """Build the optimizer of a recipe: Adam, SGD with momentum 0.9, or LAMB.

    LAMB is for batches of thousands of images, where Adam's steps are too uneven from layer to
    layer; its weight decay is decoupled, as in its paper.

    Args:
        config: The optimizer section of the recipe.
        learning_rate: The schedule of the learning rate.
        variables: The variables to train.
    """
    if config.name == "lamb":
        optimizer = LAMB(learning_rate, decay=config.weight_decay)
    elif config.name == "adam":
        optimizer = Adam(learning_rate, l2=config.weight_decay)
    else:
        optimizer = SGD(learning_rate, momentum=0.9, l2=config.weight_decay)
    optimizer.build(variables)
    return optimizer
