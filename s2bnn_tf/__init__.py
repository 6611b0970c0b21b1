"""Self-supervised 1-bit vision encoders in Keras, from unlabeled images to a verified `.tflite`.

This module holds the version only, so that `s2bnn --help` never loads TensorFlow.
"""

__version__ = "0.1.0"
