"""HTML and SVG from nested calls: everything that is not markup already is redacted and escaped, with no way round.

``tag("td", name, class_="due")`` gives ``<td class="due">…</td>``. A trailing underscore of an attribute is dropped,
others become hyphens; None and False leave an attribute or a child out.
"""

from collections.abc import Iterable
from html import escape

from reporting.redaction import redact

VOID_TAGS = frozenset({"meta", "link", "br", "hr", "img"})


class Html(str):
    """Markup, made by ``tag`` or by ``join``; never made from text that others wrote."""

    __slots__ = ()


Child = str | float | None | Iterable["Child"]
Attribute = str | float | bool | None


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Html:
    """Return an element; text among the children and all attribute values are redacted and escaped."""
    opening = name + "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID_TAGS:
        return Html(f"<{opening}>")
    return Html(f"<{opening}>{join(*children)}</{name}>")


def join(*children: Child) -> Html:
    """Return the children one after another."""
    return Html("".join(_markup(child) for child in children))


def _markup(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, str | float | int):
        return safe_text(str(child))
    return join(*child)


def safe_text(text: str) -> Html:
    """Return text as markup that shows it: redacted, then escaped."""
    return Html(escape(redact(text), quote=True))


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{safe_text(str(value))}"'
