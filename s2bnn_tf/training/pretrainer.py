"""The one train_step: contrast, guidance by a teacher, or both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import tensorflow as tf

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.data import mix_images
from s2bnn_tf.layers import kernels_in_prediction
from s2bnn_tf.objectives import (
    KeyQueue,
    WordAxes,
    custom_loss,
    distillation_loss,
    info_nce_loss,
    places_loss,
    regression_loss,
    signs_loss,
    similarity_loss,
    words_loss,
)
from s2bnn_tf.training.distribution import gather, total
from s2bnn_tf.training.momentum import shuffled_keys, update_momentum
from s2bnn_tf.training.parts import in_parts, split
from s2bnn_tf.training.places import pair_places

keras = tf.keras


class Pretrainer(keras.Model):
    """Train a student without labels.

    With a momentum encoder and a queue the student learns by contrast; with a teacher, by
    distillation; with all three, by both. Of the three networks only the student is trained:
    the teacher is frozen and the momentum encoder follows the student. A loss of weight 0 is
    not computed.

    On several replicas (`tf.distribute`) each gets its part of the batch. Losses are means over
    the whole batch, and the keys of all replicas are enqueued on each of them.

    Args:
        student: The encoder to train, from views `(B, H, W, 3)` to embeddings `(B, D)`.
        teacher: A frozen encoder to `(B, D)`, or None.
        stored_targets: Whether each batch ends with the targets `(B, D)`, which a teacher has
            computed before; then there is none here.
        momentum_encoder: A copy of the student, or None.
        queue: The negatives of `info_nce_loss`, which are keys of the momentum encoder, or those
            of `similarity_loss`, which are embeddings of the teacher.
        contrastive_weight: The weight of `info_nce_loss`.
        distillation_weight: The weight of `distillation_loss`.
        similarity_weight: The weight of `similarity_loss`.
        regression_weight: The weight of `regression_loss`.
        places_weight: The weight of `places_loss`.
        signs_weight: The weight of `signs_loss`. Both are about maps, so that the teacher has to
            run along, on the student's view.
        words_weight: The weight of `words_loss`.
        words: The words that it needs, or None.
        custom: The name of an objective of `register_objective`.
        custom_weight: The weight of that objective.
        temperature: The temperature T of all losses.
        teacher_temperature: The temperature of the teacher's distributions; defaults to
            `temperature`.
        momentum: The momentum of the momentum encoder, in [0, 1].
        accumulation_steps: The number of parts of a batch that are computed one after another,
            to need less memory. BatchNormalization sees one part at a time; the rest is the same.
        seed: The seed that keys are shuffled between replicas with.
        key_statistics: The statistics that BatchNormalization in the momentum encoder uses:
            `"batch"`, those of the batch, as in MoCo, or `"averaged"`, a moving average of the
            student's. On one device `"batch"` lets a query recognize its key by the statistics
            that they share, and the features suffer. On several devices MoCo shuffles the batch
            between them for that reason, and so does this class.
        final_distillation_weight: What the weight of `distillation_loss` grows to, evenly over
            the run; by default it stays the same. BURN lets it grow from 0.1 to 0.3.
        total_steps: The number of steps of the run, which that needs.
        mixup: Whether teacher and student see mixed images; see `mix_images`.
        cross_views: Whether the teacher sees another view than the student. Both are drawn alike,
            so that the mean over the run is that of a loss which is symmetric over two views, as
            BURN's is, for one pass of each network.

    Raises:
        ValueError: If there is neither a teacher nor a momentum encoder, if there is nothing to
            minimize, or if there is a queue that no loss uses, or a loss that lacks its queue.

    References:
        S2-BNN, https://arxiv.org/abs/2102.08946.
        MoCo, https://arxiv.org/abs/1911.05722, algorithm 1 and section 3.3 (shuffling).
        EMAN, https://arxiv.org/abs/2101.08482 (averaged statistics).
        BURN, https://arxiv.org/abs/2110.08851 (other views, a growing weight).
    """

    def __init__(
        self,
        *,
        student: Encoder,
        teacher: Encoder | None = None,
        stored_targets: bool = False,
        momentum_encoder: Encoder | None = None,
        queue: KeyQueue | None = None,
        contrastive_weight: float = 0.0,
        distillation_weight: float = 1.0,
        similarity_weight: float = 0.0,
        regression_weight: float = 0.0,
        places_weight: float = 0.0,
        signs_weight: float = 0.0,
        words_weight: float = 0.0,
        words: WordAxes | None = None,
        custom: str | None = None,
        custom_weight: float = 0.0,
        temperature: float = 0.2,
        teacher_temperature: float | None = None,
        momentum: float = 0.999,
        accumulation_steps: int = 1,
        seed: int = 0,
        key_statistics: str = "batch",
        final_distillation_weight: float | None = None,
        total_steps: int = 1,
        mixup: bool = False,
        cross_views: bool = False,
    ):
        super().__init__(name="pretrainer")
        guided = teacher is not None or stored_targets
        if not guided and momentum_encoder is None:
            raise ValueError("A Pretrainer needs a teacher, a momentum encoder, or both.")
        weights = {} if momentum_encoder is None else {"contrastive": contrastive_weight}
        if guided:
            weights["distillation"] = distillation_weight
            weights["similarity"] = similarity_weight
            weights["regression"] = regression_weight
            weights["places"] = places_weight
            weights["signs"] = signs_weight
            weights["words"] = words_weight if words is not None else 0.0
            weights["custom"] = custom_weight if custom is not None else 0.0
        self.objective_weights = {name: weight for name, weight in weights.items() if weight > 0}
        if not self.objective_weights:
            raise ValueError("A Pretrainer needs a loss with a weight above 0.")
        if (mixup or cross_views) and (teacher is None or momentum_encoder is not None):
            raise ValueError("Mixed images and other views need a teacher, and no keys.")
        of_maps = {"places", "signs"} & self.objective_weights.keys()
        if of_maps and (teacher is None or cross_views):
            raise ValueError("Maps need a teacher, which sees the student's view.")
        uses = [name for name in ("contrastive", "similarity") if name in self.objective_weights]
        if len(uses) != (queue is not None):
            raise ValueError(
                "A queue comes with a contrastive or a similarity loss, and neither without one."
            )
        self.student = student
        self.teacher = teacher
        self.stored_targets = stored_targets
        self.momentum_encoder = momentum_encoder
        self.queue = queue
        self.words = words
        self.custom = custom
        self.temperature = temperature
        self.teacher_temperature = teacher_temperature
        self.momentum = momentum
        self.parts = accumulation_steps
        self.seed = seed
        self.final_distillation_weight = final_distillation_weight
        self.total_steps = total_steps
        self.mixup = mixup
        self.cross_views = cross_views
        self.steps = tf.Variable(0, trainable=False, dtype=tf.int64, name="steps")
        self.student_to_read: Callable[[], Encoder] = lambda: self.student
        self.average_statistics = key_statistics == "averaged"
        names = ["loss", *self.objective_weights, "gradient_norm"]
        self.means = {name: keras.metrics.Mean(name=name) for name in names}
        if teacher is not None:
            teacher.trainable = False
        self.places = pair_places(student, cast(Encoder, teacher)) if of_maps else None

    @property
    def views(self) -> int:
        """The number of views of an image that a step needs: two for contrast and other views."""
        return 2 if self.momentum_encoder is not None or self.cross_views else 1

    def steps_done(self) -> int:
        """Return the number of steps since the beginning of the run."""
        return int(tf.convert_to_tensor(self.steps))

    def learning_rate(self) -> tf.Tensor:
        """Return the learning rate of the last step."""
        return tf.convert_to_tensor(self.optimizer.learning_rate)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self.means.values())

    def train_step(self, views: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        """Update the student on one batch of views, each `(B, H, W, 3)`, and stored targets."""
        key = target = None
        if self.stored_targets:
            *views, target = views
        if self.mixup:
            views = [mix_images(views[0], self.seed_of_step())]
        if self.teacher is not None:
            guide = self.teacher if self.places is None else self.places.teacher
            frozen = partial(guide.__call__, training=False)
            with kernels_in_prediction():
                target = in_parts(frozen, views[1 if self.cross_views else 0], self.parts)  # (B, D)
        if self.momentum_encoder is not None:
            update_momentum(
                self.student,
                self.momentum_encoder,
                self.momentum,
                statistics=self.average_statistics,
            )
            key, all_keys = self.make_keys(views[1], self.momentum_encoder)
        losses, gradients = self.accumulate(views[0], key, target)
        norm = self.apply(gradients)
        if self.queue is not None:  # after use: a query never meets its own key
            own = target if self.places is None else self.places.teacher.split(target)[0]
            self.queue.enqueue(all_keys if key is not None else gather(own))
        tf.raw_ops.AssignAddVariableOp(resource=self.steps.handle, value=tf.constant(1, tf.int64))
        return self.report(**losses, gradient_norm=norm)

    def seed_of_step(self) -> tf.Tensor:
        """Two integers that differ between steps and replicas, so that a resumed run repeats."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        step = tf.cast(tf.convert_to_tensor(self.steps), tf.int32)
        return tf.stack([tf.constant(self.seed) + tf.cast(replica, tf.int32) * 65537, step])

    def make_keys(
        self, key_view: tf.Tensor, momentum_encoder: Encoder
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the keys of this replica, `(B, D)`, and those of all replicas, `(R * B, D)`."""

        def encode(view: tf.Tensor) -> tf.Tensor:
            function = partial(momentum_encoder.__call__, training=not self.average_statistics)
            return in_parts(function, view, self.parts)

        if tf.distribute.get_replica_context().num_replicas_in_sync == 1:
            key = encode(key_view)
            return key, key
        key, all_keys = shuffled_keys(encode, key_view, self.seed, self.steps)
        return tf.ensure_shape(key, (None, momentum_encoder.embedding_dim)), all_keys

    def accumulate(
        self, query_view: tf.Tensor, key: tf.Tensor | None, target: tf.Tensor | None
    ) -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
        """Return the losses of this replica's batch and its share of the gradient."""
        if self.parts == 1:
            return self.differentiate(query_view, key, target)
        batch = [None if value is None else split(value, self.parts) for value in (key, target)]
        views = split(query_view, self.parts)

        def add_part(
            index: tf.Tensor, losses: dict[str, tf.Tensor], gradients: list[tf.Tensor]
        ) -> tuple[Any, ...]:
            part = [None if values is None else values[index] for values in batch]
            more = self.differentiate(views[index], *part)
            return (index + 1, *tf.nest.map_structure(tf.add, (losses, gradients), more))

        start = (
            tf.constant(0),
            {name: tf.constant(0.0) for name in ("loss", *self.objective_weights)},
            [tf.zeros_like(variable) for variable in self.student.trainable_variables],
        )
        _, losses, gradients = tf.while_loop(
            lambda index, *_: index < self.parts, add_part, start, parallel_iterations=1
        )
        return {name: loss / self.parts for name, loss in losses.items()}, gradients

    def differentiate(
        self, query_view: tf.Tensor, key: tf.Tensor | None, target: tf.Tensor | None
    ) -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
        """Return the losses of one part of a batch and its share of the gradient."""
        with tf.GradientTape() as tape:
            query = self.look(query_view)
            losses = self.losses_of(query, key, target)
            loss = tf.add_n([self.weight_of(name) * value for name, value in losses.items()])
            replicas = tf.distribute.get_replica_context().num_replicas_in_sync
            share = loss / (replicas * self.parts)
            if self.scales_loss:
                share = self.optimizer.get_scaled_loss(share)
        return {"loss": loss, **losses}, tape.gradient(share, self.student.trainable_variables)

    def look(self, views: tf.Tensor) -> tf.Tensor:
        """Return the student's embeddings `(B, D)`, with the map behind them if a loss needs it."""
        student = self.student if self.places is None else self.places.student
        return student(views, training=True)

    def losses_of(
        self, query: tf.Tensor, key: tf.Tensor | None, target: tf.Tensor | None
    ) -> dict[str, tf.Tensor]:
        """Return each loss that has a weight, a scalar, for what `look` and the teacher gave."""
        ours = theirs = projected = None
        if self.places is not None:
            query, ours = self.places.student.split(query)
            target, theirs = self.places.teacher.split(target)
            projected = tf.matmul(theirs, tf.cast(self.places.projection, theirs.dtype))
        temperatures = (self.temperature, self.teacher_temperature)
        keys = None if self.queue is None else self.queue.keys
        losses = {
            "contrastive": lambda: info_nce_loss(query, key, keys, self.temperature),
            "distillation": lambda: distillation_loss(query, target, *temperatures),
            "similarity": lambda: similarity_loss(query, target, keys, *temperatures),
            "regression": lambda: regression_loss(query, target),
            "places": lambda: places_loss(ours, theirs, *temperatures),
            "signs": lambda: signs_loss(ours, projected),
            "words": lambda: words_loss(query, target, cast(WordAxes, self.words)),
            "custom": lambda: custom_loss(str(self.custom), query, target),
        }
        return {name: losses[name]() for name in self.objective_weights}

    def weight_of(self, name: str) -> float | tf.Tensor:
        """The weight of a loss in this step."""
        weight = self.objective_weights[name]
        if name != "distillation" or self.final_distillation_weight is None:
            return weight
        passed = tf.cast(tf.convert_to_tensor(self.steps), tf.float32) / self.total_steps
        return weight + (self.final_distillation_weight - weight) * tf.minimum(passed, 1.0)

    @property
    def scales_loss(self) -> bool:
        """Whether the gradients are in float16, which is too small for them without scaling."""
        return isinstance(self.optimizer, keras.mixed_precision.LossScaleOptimizer)

    def apply(self, gradients: list[tf.Tensor]) -> tf.Tensor:
        """Update the student with the gradients of all replicas and return their norm, a scalar."""
        gradients = total(gradients)
        if self.scales_loss:
            gradients = self.optimizer.get_unscaled_gradients(gradients)
        norm = tf.linalg.global_norm(gradients)
        self.optimizer.apply_gradients(
            zip(gradients, self.student.trainable_variables),
            experimental_aggregate_gradients=False,
        )
        if self.scales_loss:  # the optimizer skips a step whose scale was too large
            norm = tf.where(tf.math.is_finite(norm), norm, 0.0)
        return norm

    def report(self, **values: tf.Tensor) -> dict[str, tf.Tensor]:
        """Add the values of a step to the means of the epoch, and return the means."""
        for name, value in values.items():
            self.means[name].update_state(value)
        return {name: mean.result() for name, mean in self.means.items()}
