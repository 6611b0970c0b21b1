"""Where the shipped recipes are: in a checkout, or where the wheel has put them."""

from __future__ import annotations

import sys
from pathlib import Path

from s2bnn_tf.errors import UserError


def config_path(name: str) -> Path:
    """The file of a shipped recipe, for example `digits/teacher.yaml`.

    Raises:
        UserError: if there is no such recipe.
    """
    checkout = Path(__file__).resolve().parent.parent / "configs"
    installed = Path(sys.prefix) / "share" / "s2bnn_tf" / "configs"
    for root in (checkout, installed):
        if (root / name).is_file():
            return root / name
    raise UserError(f"There is no recipe {name}; reinstall s2bnn_tf.")
