"""Pages from templates, which this package holds."""

from __future__ import annotations

from typing import Any


def render(template: str, **values: Any) -> str:
    """Fill in a template; a name that it misses is an error, and texts are escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("s2bnn_tf.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
