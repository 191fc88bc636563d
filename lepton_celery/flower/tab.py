"""Adds the pages for jobs and for the fleet to Flower: handlers, templates, and links in its navigation."""

from __future__ import annotations

import logging
from importlib.metadata import version
from pathlib import Path
from typing import Any

_TEMPLATES = Path(__file__).with_name("templates")

_FIRST_LINKS = '<ul class="app-nav navbar-nav">'
"""What Flower's navigation has before its links."""

_BLOCKS = ("title", "navbar", "container", "extra_scripts")
"""The blocks of Flower's base template that the pages fill."""

logger = logging.getLogger(__name__)


def install() -> None:
    """Add the pages to the Flower that this process may start; leave a Flower as it is if it is not as expected.

    They are for applications that `create_app` or `configure` prepared; Flowers of other applications do not show them.
    """
    from flower import urls

    if "template_loader" in urls.settings:
        return  # the pages were added already
    try:
        why = _unexpected(urls)
        if not why:
            from tornado.template import DictLoader

            from lepton_celery.flower.handlers import CLOSED, HANDLERS

            kept = [
                (one[0], CLOSED.get(one[0], one[1]), *one[2:]) if isinstance(one, tuple) else one
                for one in urls.handlers
            ]
            if missing := CLOSED.keys() - {one[0] for one in kept if isinstance(one, tuple)}:
                why = f"it does not serve {min(missing)}"
            loader = DictLoader(_templates(Path(urls.settings["template_path"])))
    except Exception as error:  # whatever another release may raise: Flower must start
        why = str(error) or type(error).__name__
    if why:
        logger.warning(
            "Flower %s is not as expected: %s. Its pages work, but it has no Jobs tab; "
            "install a release of lepton-celery that knows this Flower, or use Flower 2.2",
            version("flower"),
            why,
        )
        return
    urls.handlers[:] = [*kept[:-1], *HANDLERS, kept[-1]]  # the last one catches all
    urls.settings["template_loader"] = loader


def _unexpected(urls: Any) -> str:
    """What of Flower is not as the pages need it, as a sentence; empty if all is."""
    folder = Path(urls.settings.get("template_path", ""))
    last = urls.handlers[-1]
    if not isinstance(last, tuple) or last[0] != ".*":
        return "its last handler does not catch all paths"
    if not all((folder / name).is_file() for name in ("base.html", "navbar.html", "404.html")):
        return "it lacks the templates base.html, navbar.html and 404.html"
    if (folder / "navbar.html").read_text(encoding="utf-8").count(_FIRST_LINKS) != 1:
        return f"its navbar.html does not have {_FIRST_LINKS} once"
    base = (folder / "base.html").read_text(encoding="utf-8")
    if missing := [block for block in _BLOCKS if f"{{% block {block} %}}" not in base]:
        return f"its base.html has no block {missing[0]}"
    return ""


def _templates(flowers: Path) -> dict[str, str]:
    """Flower's templates by name, with links to the pages in its navigation, and those of the pages."""
    found = {path.name: path.read_text(encoding="utf-8") for path in flowers.glob("*.html")}
    ours = {f"lepton-{path.name}": path.read_text(encoding="utf-8") for path in _TEMPLATES.glob("*.html")}
    links = ours.pop("lepton-links.html")
    found["navbar.html"] = found["navbar.html"].replace(_FIRST_LINKS, f"{_FIRST_LINKS}\n{links}")
    return found | ours
