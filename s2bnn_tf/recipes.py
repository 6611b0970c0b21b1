"""Find the shipped recipes, in a checkout or inside the installed package."""

from __future__ import annotations

from pathlib import Path

from s2bnn_tf.errors import UserError

_PACKAGE = Path(__file__).resolve().parent
_ROOTS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")


def is_shipped(path: Path) -> bool:
    """Whether a file, with all links resolved, is in the folder of the shipped recipes."""
    return any(path.is_relative_to(root) for root in _ROOTS)


def config_path(name: str) -> Path:
    """Return the path of a shipped recipe, for example `digits/teacher.yaml`.

    Raises:
        UserError: If there is no such recipe.
    """
    for root in _ROOTS:
        if (root / name).is_file():
            return root / name
    raise UserError(f"There is no recipe {name}; reinstall s2bnn_tf.")
