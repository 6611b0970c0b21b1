"""Defaults on which rooms must agree that do not import one another."""

# Fraction of the shorter side that evaluation keeps: 224 of 256 pixels, as in the S2-BNN paper.
CENTER_CROP = 0.875
