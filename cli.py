"""Launcher for a checkout: `python cli.py` is `s2bnn`."""

from s2bnn_tf.cli import main

main()
