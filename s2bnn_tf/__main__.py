"""`python -m s2bnn_tf` is `s2bnn`."""

from s2bnn_tf.cli import main

main()
