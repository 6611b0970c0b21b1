"""Defaults on which rooms must agree that do not import one another."""

# Fraction of the shorter side that evaluation keeps: 224 of 256 pixels, as in the S2-BNN paper.
CENTER_CROP = 0.875

# The kinds of devices that a bundle is for.
TARGETS = ("linux-aarch64", "linux-x86_64")
