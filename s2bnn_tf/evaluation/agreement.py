"""How often a student names pictures by the words that its teacher names them by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from s2bnn_tf.evaluation.arrays import FloatArray
from s2bnn_tf.evaluation.knn import nearest_neighbors

_PAIRS = 10  # of words that are listed


def word_agreement(
    student: FloatArray, teacher: FloatArray, rows: FloatArray, names: Sequence[str]
) -> dict[str, Any]:
    """Compare the words that student and teacher find nearest to each picture.

    Args:
        student: The student's vectors of N pictures in the teacher's space, `(N, D)`.
        teacher: The teacher's, `(N, D)`.
        rows: The vectors of K words, `(K, D)`, of unit length.
        names: The K words.

    Returns:
        "pictures" (N), "words" (K); "top1", the share of pictures whose nearest word is the
        teacher's; "top5", the share where the teacher's is among the student's nearest five;
        "used", how many words the teacher names a picture by; "confused", the words that the
        student takes for another most often, each as [teacher's, student's, pictures].
    """
    theirs = nearest_neighbors(rows, teacher, 1)[1][:, 0]
    ours = nearest_neighbors(rows, student, 5)[1]
    first = ours[:, 0]
    wrong = Counter((int(t), int(s)) for t, s in zip(theirs, first) if t != s)
    return {
        "pictures": len(student),
        "words": len(names),
        "top1": float((first == theirs).mean()),
        "top5": float((ours == theirs[:, np.newaxis]).any(axis=1).mean()),
        "used": len(np.unique(theirs)),
        "confused": [[names[t], names[s], count] for (t, s), count in wrong.most_common(_PAIRS)],
    }
