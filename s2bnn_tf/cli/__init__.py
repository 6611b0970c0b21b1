"""The command line: `s2bnn`, `python cli.py` and `python -m s2bnn_tf` are the same.

TensorFlow is imported inside command bodies only, so that help is instant.
"""

from s2bnn_tf.cli import (  # noqa: F401  (each verb joins the group when it is imported)
    benchmark,
    bundle,
    compare,
    convert,
    data,
    demo,
    deploy,
    embed,
    evaluate,
    export_c,
    export_web,
    fit,
    import_torch,
    import_zoo,
    summary,
    teachers,
    train,
    words,
)
from s2bnn_tf.cli.group import main

__all__ = ["main"]
