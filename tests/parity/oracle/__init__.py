"""The method written again in PyTorch, from the papers, to compare with.

It shares no code with s2bnn_tf, and runs in float64, where sign flips cannot hide behind
rounding. Parameters have the names under which they were published, so that a `state_dict()`
here is a checkpoint as it is met in the wild.
"""
