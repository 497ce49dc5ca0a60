"""The few SVG marks that the report's figures are made of: escaped, rounded, coloured by class."""

from markupsafe import Markup, escape


def mark(tag: str, content: Markup | str = "", **attributes: str | float) -> Markup:
    """Write one SVG element; ``_`` in attribute names becomes ``-``, a trailing one is dropped, numbers are rounded.

    >>> mark("rect", x=1.23456, class_="bar", stroke_width=2)
    Markup('<rect x="1.23" class="bar" stroke-width="2"></rect>')
    >>> mark("text", "<b>")
    Markup('<text>&lt;b&gt;</text>')
    """
    spelled = Markup("").join(
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), _number(value))
        for name, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(tag), spelled, escape(content))


def join(*marks: Markup) -> Markup:
    """Put marks one after another.

    >>> join(mark("g"), mark("g"))
    Markup('<g></g><g></g>')
    """
    return Markup("").join(marks)


def draw(name: str, width: float, height: float, kind: str, *marks: Markup) -> Markup:
    """Wrap marks as an image with a name that screen readers speak; ``kind`` is "wide" or "narrow"."""
    return mark(
        "svg",
        join(*marks),
        class_=f"figure {kind}",
        viewBox=f"0 0 {_number(width)} {_number(height)}",
        role="img",
        aria_label=name,
    )


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """Draw a straight line."""
    return mark("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def words(x: float, y: float, text: str, class_: str = "", anchor: str = "start") -> Markup:
    """Write a text whose baseline is at ``y``; ``anchor`` is start, middle or end."""
    return mark("text", text, x=x, y=y, class_=class_, text_anchor=anchor)


def titled(tag: str, title: str, **attributes: str | float) -> Markup:
    """Draw an element with a tooltip."""
    return mark(tag, mark("title", title), **attributes)


def _number(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
