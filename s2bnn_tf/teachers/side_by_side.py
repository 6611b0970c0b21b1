"""Two teachers as one: a student matches what each of them says of a picture."""

from __future__ import annotations

import tensorflow as tf

from s2bnn_tf.backbones import Encoder

keras = tf.keras


def side_by_side(first: Encoder, second: Encoder, view: tuple[int, int, int]) -> Encoder:
    """Put the outputs of two teachers beside each other, each of unit length.

    So both count alike, whatever their dimensions are. AM-RADIO (2312.06709) matches several
    teachers with a head for each; one head for all is the same where it is linear at its end.

    Args:
        first: From normalized images `(B, H, W, C)` to embeddings `(B, D)`.
        second: Likewise, to `(B, E)`.
        view: H, W and C.

    Returns:
        An encoder to `(B, D + E)`, that is not trainable.
    """
    images = keras.Input(view, name="image")
    # In float32, as the embeddings are, whatever the networks compute in.
    beside = keras.layers.Concatenate(name="both", dtype="float32")
    both = beside([first(images), second(images)])
    encoder = Encoder(keras.Model(images, both, name="two_teachers"))
    encoder.trainable = False
    return encoder
