"""The one train_step: contrast, distillation, or both."""

from __future__ import annotations

import tensorflow as tf

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.objectives import KeyQueue, distillation_loss, info_nce_loss
from s2bnn_tf.training.momentum import update_momentum

keras = tf.keras


class Pretrainer(keras.Model):
    """Trains a student without labels.

    With a momentum encoder and a queue it contrasts; with a teacher it distils;
    with all three it does both. Of the three networks only the student is
    trained: the teacher is frozen and the momentum encoder follows.

    Args:
        student: The encoder to train, `(B, H, W, 3)` to `(B, D)`.
        teacher: A frozen encoder to `(B, D)`, or None.
        momentum_encoder: A copy of the student, or None.
        queue: The negatives, with the momentum encoder.
        contrastive_weight: Weight of `info_nce_loss`.
        distillation_weight: Weight of `distillation_loss`.
        temperature: T of both losses.
        momentum: Of the momentum encoder.
        key_statistics: What BatchNormalization in the momentum encoder uses: `"batch"`,
            the batch's own statistics, as MoCo does, or `"averaged"`, a moving
            average of the student's. On one device `"batch"` lets a query recognise
            its key by the statistics that they share, and the features suffer: MoCo
            shuffles the batch between devices for that reason.

    Raises:
        ValueError: if there is neither teacher nor momentum encoder, or a
            momentum encoder without a queue.

    References:
        S2-BNN, https://arxiv.org/abs/2102.08946.
        MoCo, https://arxiv.org/abs/1911.05722, algorithm 1 and section 3.3 (shuffling).
        EMAN, https://arxiv.org/abs/2101.08482 (averaged statistics).
    """

    def __init__(
        self,
        *,
        student: Encoder,
        teacher: Encoder | None = None,
        momentum_encoder: Encoder | None = None,
        queue: KeyQueue | None = None,
        contrastive_weight: float = 0.0,
        distillation_weight: float = 1.0,
        temperature: float = 0.2,
        momentum: float = 0.999,
        key_statistics: str = "batch",
    ):
        super().__init__(name="pretrainer")
        if teacher is None and momentum_encoder is None:
            raise ValueError("A Pretrainer needs a teacher, a momentum encoder, or both.")
        if (momentum_encoder is None) != (queue is None):
            raise ValueError("A momentum encoder and a queue come together.")
        self.student = student
        self.teacher = teacher
        self.momentum_encoder = momentum_encoder
        self.queue = queue
        self.objective_weights = {
            "contrastive": contrastive_weight,
            "distillation": distillation_weight,
        }
        self.temperature = temperature
        self.momentum = momentum
        self.average_statistics = key_statistics == "averaged"
        names = ["loss"]
        names += ["contrastive"] if momentum_encoder is not None else []
        names += ["distillation"] if teacher is not None else []
        self.means = {name: keras.metrics.Mean(name=name) for name in names}
        if teacher is not None:
            teacher.trainable = False

    @property
    def views(self) -> int:
        """Views of an image that a step needs: two to contrast, else one."""
        return 1 if self.momentum_encoder is None else 2

    def learning_rate(self) -> tf.Tensor:
        """The learning rate of the last step."""
        rate = self.optimizer.learning_rate  # TensorFlow Addons' optimizers keep the schedule
        return rate(self.optimizer.iterations - 1) if callable(rate) else rate

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self.means.values())

    def train_step(self, views: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
        """Update the student on one batch of views, each (B, H, W, 3)."""
        query_view = views[0]
        key = target = None
        if self.momentum_encoder is not None:
            averaged = self.average_statistics
            update_momentum(self.student, self.momentum_encoder, self.momentum, statistics=averaged)
            key = self.momentum_encoder(views[1], training=not averaged)  # (B, D)
        if self.teacher is not None:
            target = self.teacher(query_view, training=False)  # (B, D), frozen

        with tf.GradientTape() as tape:
            query = self.student(query_view, training=True)  # (B, D), unit length
            losses = {}
            if self.queue is not None:
                losses["contrastive"] = info_nce_loss(query, key, self.queue.keys, self.temperature)
            if target is not None:
                losses["distillation"] = distillation_loss(
                    query=query, target=target, temperature=self.temperature
                )
            loss = tf.add_n([self.objective_weights[name] * losses[name] for name in losses])
        self.optimizer.minimize(loss, self.student.trainable_variables, tape=tape)

        if self.queue is not None:
            self.queue.enqueue(key)  # after use: a query never meets its own key as a negative
        return self.report(loss=loss, **losses)

    def report(self, **values: tf.Tensor) -> dict[str, tf.Tensor]:
        """Means over the epoch so far."""
        for name, value in values.items():
            self.means[name].update_state(value)
        return {name: mean.result() for name, mean in self.means.items()}
