"""The public names of every subpackage are sorted, importable and documented."""

from __future__ import annotations

import importlib
import pkgutil
import typing

import pytest

import s2bnn_tf

SUBPACKAGES = [
    module.name
    for module in pkgutil.iter_modules(s2bnn_tf.__path__, prefix="s2bnn_tf.")
    if module.ispkg
]


def isort_style(name: str) -> tuple:
    """CONSTANTS, then Classes, then functions: the order that `make format` gives `__all__`."""
    return (not name.isupper(), not name[0].isupper(), name)


@pytest.mark.parametrize("name", SUBPACKAGES)
def test_public_names(name):
    package = importlib.import_module(name)
    assert package.__doc__
    assert package.__all__ == sorted(set(package.__all__), key=isort_style)
    for public in package.__all__:
        value = getattr(package, public)
        if not public.isupper() and typing.get_origin(value) is None:  # constants, type aliases
            assert value.__doc__ and value.__doc__.strip(), f"{name}.{public} has no docstring"
            assert not value.__doc__.startswith(f"{public}("), f"{name}.{public}: dataclass default"


def test_version():
    assert s2bnn_tf.__version__.count(".") == 2
