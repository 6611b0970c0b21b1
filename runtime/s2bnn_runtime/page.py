"""A page of thumbnails, in one file."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

from s2bnn_runtime.errors import PictureError, S2bnnError
from s2bnn_runtime.files import check_output, replaced
from s2bnn_runtime.images import read_picture

_SIDE = 120  # pixels of a thumbnail
_MOST = 24  # thumbnails of a group
_STYLE = (
    "body{font:15px sans-serif;margin:2em}figure{display:inline-block;margin:4px;width:124px;"
    "vertical-align:top}figcaption{font-size:11px;overflow-wrap:anywhere}img{max-width:120px}"
)


def write_page(path: Path, title: str, groups: list[tuple[str, list[str]]]) -> None:
    """Write a page of groups of pictures, of each the first 24.

    Args:
        path: The file to write, *.html.
        title: The title of the page.
        groups: For each group its title, and the paths of its pictures.

    Raises:
        S2bnnError: If the file cannot be written.
    """
    check_page(path)
    parts = [
        "<!doctype html><meta charset='utf-8'>",
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style><h1>{html.escape(title)}</h1>",
    ]
    for name, members in groups:
        parts.append(f"<h2>{html.escape(name)}</h2>")
        parts += [_figure(member) for member in members[:_MOST]]
        if len(members) > _MOST:
            parts.append(f"<p>and {len(members) - _MOST} more</p>")
    with replaced(path) as file:
        # Names of files may hold bytes that are not UTF-8.
        file.write("\n".join(parts).encode(errors="backslashreplace"))


def check_page(path: Path) -> None:
    """Check the name and the folder of a page.

    Raises:
        S2bnnError: If it is not named *.html, or its folder cannot be written.
    """
    if path.suffix != ".html":
        raise S2bnnError(f"the page must be named *.html, not {path.name}")
    check_output(path)


def _figure(member: str) -> str:
    from PIL import Image  # which the rest of the command needs only to read pictures

    name = html.escape(member)
    try:
        picture = Image.fromarray(read_picture(Path(member)))
    except PictureError:  # it has gone since it was indexed
        return f"<figure><figcaption>{name}</figcaption></figure>"
    picture.thumbnail((_SIDE, _SIDE))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=80)
    source = base64.b64encode(data.getvalue()).decode()
    image = f"<img src='data:image/jpeg;base64,{source}' alt=''>"
    return f"<figure>{image}<figcaption>{name}</figcaption></figure>"
