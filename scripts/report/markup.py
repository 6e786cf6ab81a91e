"""HTML from parts: whatever is not markup already is text, and is escaped."""
import html


class Html(str):
    """Markup. Whatever else goes into a page is text, and is escaped."""


def escaped(part):
    return part if isinstance(part, Html) else Html(html.escape(str(part)))


def tag(name, *parts, **attributes):
    """An element. `class_` is class, `data_row` is data-row; None and False leave out."""
    shown = "".join(
        f" {key.strip('_').replace('_', '-')}"
        + ("" if value is True else f'="{html.escape(str(value))}"')
        for key, value in attributes.items() if value is not None and value is not False)
    return Html(f"<{name}{shown}>{join(*parts)}</{name}>")


def join(*parts):
    return Html("".join(escaped(part) for part in parts))


def box(label, table):
    """A table that scrolls within itself; the keyboard can scroll what it can focus."""
    return tag("div", table, class_="box", tabindex=0, role="region", aria_label=label)


def caption(text, hidden=False):
    """The inner part wraps in view, however wide the table is."""
    return tag("caption", tag("span", text), class_="hidden-text" if hidden else None)


def items(lines, class_=None):
    return tag("ul", *[tag("li", line) for line in lines], class_=class_) if lines else Html("")
