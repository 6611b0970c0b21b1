"""Every public name of a package appears in the API reference, and examples appear as code."""

from __future__ import annotations

import re
from typing import Any, cast

import griffe

# Doctests that are not indented, as in the section "Examples", which Griffe knows.
DOCTEST = re.compile(r"^>>>.*(?:\n.+)*", re.MULTILINE)


class PublicNames(griffe.Extension):
    """Fill two gaps in the names that a package exports through `__all__`.

    A function with the name of its module, such as `data.pack.pack`, is hidden by the module. A
    constant has no docstring, and only names with one are shown.
    """

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Complete a package after Griffe has read all of it."""
        packages = [pkg, *(m for m in pkg.modules.values() if m.is_init_module)]
        found = []
        for docstring in docstrings(pkg):
            docstring.value = DOCTEST.sub(r"```pycon\n\g<0>\n```", docstring.value)
        for package in packages:
            for name in filter(package.imports.__contains__, map(str, package.exports or ())):
                member = package.members[name]
                if member.is_module:
                    found.append((package, name, target_of(pkg, package.imports[name])))
                elif member.is_attribute and not member.has_docstring:
                    member.docstring = griffe.Docstring("A constant.")
        for package, name, target in found:  # last, since the modules are found by these names
            package.members[name] = griffe.Alias(name, target, parent=package)


def docstrings(parent: griffe.Object) -> list[griffe.Docstring]:
    """All docstrings of an object and of everything that is defined in it."""
    found = [parent.docstring] if parent.docstring else []
    for member in parent.members.values():
        if not isinstance(member, griffe.Alias):
            found += docstrings(member)
    return found


def target_of(package: griffe.Module, path: str) -> griffe.Object:
    """The object that a path such as `s2bnn_tf.data.pack.pack` names."""
    found: Any = package
    for part in path.split(".")[1:]:
        found = found.members[part]
    return cast(griffe.Object, found)
