"""Thresholds chosen from scores of known things, at a stated rate of false alarms."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from s2bnn_runtime.errors import S2bnnError

FEWEST = 4  # scores from which a threshold can be chosen
ENOUGH = 10  # times the inverse of the rate: so many scores show the rate by themselves
_SMALLEST = 1e-6  # scores below count as this, so that their logarithm is finite


def check_rate(rate: float) -> float:
    """Return the rate.

    Raises:
        S2bnnError: If it is not a share above 0 and below 1.
    """
    if not 0 < rate < 1:
        raise S2bnnError(f"a rate of false alarms is a share above 0 and below 1, not {rate:g}")
    return rate


def choose_threshold(scores: ArrayLike, rate: float) -> float:
    """The score that a further normal thing exceeds with about this probability.

    Many scores show it by themselves. A few cannot: the largest of 20 is exceeded in one case of
    21, whatever the rate. Then the tail is extrapolated: a prediction interval of Student's
    distribution for the logarithms of the scores, which is the wider the fewer there are.

    >>> choose_threshold([1, 2, 3, 4], 0.01) > 20
    True

    Args:
        scores: Scores of normal things that were not learned from, above 0, at least `FEWEST`;
            higher is more unusual.
        rate: The share of further normal things that may exceed the threshold.

    Raises:
        S2bnnError: If there are too few scores, if they are not finite, or if the rate is no share.
    """
    check_rate(rate)
    values = np.sort(np.asarray(scores, np.float64))
    count = len(values)
    if count < FEWEST or not np.isfinite(values).all():
        raise S2bnnError(f"a threshold needs at least {FEWEST} finite scores, not {count}")
    # Of count + 1 exchangeable scores, the last exceeds this one at the rate at most.
    place = min(math.ceil((count + 1) * (1 - rate)), count)
    seen = float(values[place - 1])
    if count * rate >= ENOUGH:
        return seen
    logs = np.log(np.maximum(values, _SMALLEST))
    return max(seen, float(np.exp(_upper(logs.mean(), logs.std(ddof=1), count, count - 1, rate))))


def class_thresholds(
    scores: dict[str, NDArray[np.float64]], rate: float
) -> dict[str, float] | None:
    """The same for the scores of several classes, which have few each.

    Each class has a mean of its own, and all share one spread. No class accepts more than one
    threshold for all classes together would: else one with few and wide examples takes most of
    what belongs to no class.

    Returns:
        A threshold for each class; None if all classes together have too few scores.
    """
    check_rate(rate)
    logs = {name: np.log(np.maximum(s, _SMALLEST)) for name, s in scores.items() if len(s) > 1}
    freedom = sum(len(values) - 1 for values in logs.values())
    if freedom < FEWEST - 1:
        return None
    squares = sum(float(((values - values.mean()) ** 2).sum()) for values in logs.values())
    spread = math.sqrt(squares / freedom)
    found = {}
    for name, values in logs.items():
        found[name] = math.exp(_upper(values.mean(), spread, len(values), freedom, rate))
        place = math.ceil((len(values) + 1) * (1 - rate))
        if place <= len(values):
            found[name] = max(found[name], float(np.sort(scores[name])[place - 1]))
    together = choose_threshold(np.concatenate([scores[name] for name in logs]), rate)
    widest = max(found.values())
    return {name: min(found.get(name, widest), together) for name in scores}


def _upper(mean: float, spread: float, count: int, freedom: int, rate: float) -> float:
    """The upper end of a prediction interval for one more value; at most e^50 in the end."""
    return min(mean + student(1 - rate, freedom) * spread * math.sqrt(1 + 1 / count), 50.0)


def student(probability: float, freedom: int) -> float:
    """The quantile of Student's distribution, by integrating its density.

    >>> round(student(0.99, 3), 2), round(student(0.95, 60), 3)
    (4.54, 1.671)

    Args:
        probability: In (0, 1).
        freedom: The degrees of freedom, at least 1.
    """
    # With t = sqrt(freedom) * tan(angle), the density becomes a power of the cosine.
    angles = np.linspace(-math.pi / 2, math.pi / 2, 40001)
    density = np.maximum(np.cos(angles), 0) ** (freedom - 1)
    mass = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    angle = float(np.interp(probability, mass / mass[-1], angles))
    return math.sqrt(freedom) * math.tan(angle)
