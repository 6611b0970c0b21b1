"""What the site does beyond its theme, called by MkDocs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig

# The theme hides the navigation in a drawer below 76.25em (1,220 pixels) and has no option for
# it. At 68.75em (1,100 pixels) there is room for the navigation, 70 characters, and the contents.
THEME_WIDTHS = {"76.25em": "68.75em", "76.234375em": "68.734375em"}

# Inline code that does not fit on one line of a telephone, 368 pixels, breaks between words.
LINE = 36
INLINE_CODE = re.compile(r"<code>([^<]+)</code>")


def on_page_content(html: str, **kwargs: Any) -> str:
    """Mark long inline code for site.css, and the words in it that stay in one piece."""
    return INLINE_CODE.sub(_mark_if_long, html)


def _mark_if_long(code: re.Match[str]) -> str:
    if len(code[1]) <= LINE:
        return code[0]
    words = [f"<span>{word}</span>" if len(word) <= LINE else word for word in code[1].split(" ")]
    return f'<code class="long">{" ".join(words)}</code>'


def on_post_build(config: MkDocsConfig) -> None:
    """Show the side navigation from 1,100 pixels on.

    Raises:
        RuntimeError: If the theme's style sheet does not hold the widths to replace.
    """
    styles = Path(config.site_dir, "assets", "stylesheets")
    for path in styles.glob("main.*.css"):
        text = path.read_text(encoding="utf-8")
        for theirs, ours in THEME_WIDTHS.items():
            if theirs not in text:
                raise RuntimeError(f"{path.name} no longer holds {theirs}; look up the theme's.")
            text = text.replace(theirs, ours)
        path.write_text(text, encoding="utf-8")
