"""Find the shipped recipes, in a checkout or inside the installed package."""

from __future__ import annotations

from pathlib import Path

from s2bnn_tf.errors import UserError

_PACKAGE = Path(__file__).resolve().parent


def config_path(name: str) -> Path:
    """Return the path of a shipped recipe, for example `digits/teacher.yaml`.

    Raises:
        UserError: If there is no such recipe.
    """
    for root in (_PACKAGE / "configs", _PACKAGE.parent / "configs"):
        if (root / name).is_file():
            return root / name
    raise UserError(f"There is no recipe {name}; reinstall s2bnn_tf.")
