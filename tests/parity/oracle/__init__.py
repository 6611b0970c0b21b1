"""A second implementation of the method, in PyTorch and from the papers, to compare with.

It shares no code with s2bnn_tf, and it runs in float64, where rounding cannot hide sign flips.
Its parameters have their published names, so each `state_dict()` looks like a published
checkpoint.
"""
