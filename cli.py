"""Launcher for a checkout: `python cli.py` is `s2bnn`."""

from s2bnn_tf.__main__ import main

main()
