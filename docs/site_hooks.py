"""What the site does beyond its theme, called by MkDocs."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig

# The theme hides the navigation in a drawer below 76.25em (1,220 pixels) and has no option for
# it. At 68.75em (1,100 pixels) there is room for the navigation, 70 characters, and the contents.
THEME_WIDTHS = {"76.25em": "68.75em", "76.234375em": "68.734375em"}


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
