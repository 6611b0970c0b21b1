"""Vectors in 1 bit a dimension, and the distance between such codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BITS = 128
_SEED = 0
_BLOCK = 65_536  # rows that are worked on together
# Every second bit, pair and four of bits, the lowest bit of each byte, and lengths of shifts.
_ODD, _PAIRS, _FOURS, _BYTES = (np.uint64(int(byte * 8, 16)) for byte in ("55", "33", "0F", "01"))
_ONE, _TWO, _FOUR, _HIGHEST_BYTE = (np.uint64(length) for length in (1, 2, 4, 56))


def encode(units: NDArray[np.float32], center: NDArray[np.float32]) -> NDArray[np.uint64]:
    """The signs of vectors that are centered and rotated at random, always in the same way.

    Two vectors differ in about as large a share of the bits as their angle is of half a turn.

    Args:
        units: `(N, D)`.
        center: `(D,)`, which is subtracted.

    Returns:
        `(N, BITS / 64)`.
    """
    rotation = np.random.default_rng(_SEED).normal(size=(len(center), BITS))
    if BITS <= len(center):
        rotation = np.linalg.qr(rotation)[0]
    signs = (units - center) @ rotation.astype(np.float32) > 0
    return np.ascontiguousarray(np.packbits(signs, axis=1)).view(np.uint64)


def hamming(codes: NDArray[np.uint64], query: NDArray[np.uint64]) -> NDArray[np.int64]:
    """In how many bits each code, `(N, W)`, differs from one, `(W,)`: `(N,)`."""
    distances = np.zeros(len(codes), np.int64)
    for start in range(0, len(codes), _BLOCK):
        block = codes[start : start + _BLOCK] ^ query
        distances[start : start + _BLOCK] = _popcount(block).sum(axis=1)
    return distances


def _popcount(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The bits that are set in each word: sums of ever more neighbors, all words at once."""
    words = words - ((words >> _ONE) & _ODD)
    words = (words & _PAIRS) + ((words >> _TWO) & _PAIRS)
    words = (words + (words >> _FOUR)) & _FOURS
    counts: NDArray[np.uint64] = (words * _BYTES) >> _HIGHEST_BYTE
    return counts
