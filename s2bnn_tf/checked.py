"""Importing this module refuses an environment in which Larq cannot work.

Every package that imports TensorFlow imports this first, since TensorFlow ends in a traceback
where a package is missing.
"""

from __future__ import annotations

from s2bnn_tf.environment import require_keras_2

require_keras_2()
