"""Charts as SVG that reads aloud, prints sharply and is the same bytes for the same numbers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING

from markupsafe import Markup

from pipeline.language.languages import SOURCE, Language, language

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, GREY = "#2a5d9f", "#b8bec6"
# From dark to light, so that they differ in print and to people who are colour-blind.
SHADES = ("#1b3f6e", "#2a5d9f", "#8fb3dc", "#dbe4ee")
ORANGE = "#a84a12"
WIDTH, ROW = 5.2, 0.36  # inches; narrow, so that its text can be read on a phone
RIGHT = 0.3  # inches to the right of the axes
LABEL = 26  # characters
LETTER = 0.075  # inches at nine points
ENGLISH = language(SOURCE)


def shortened(name: str) -> str:
    """The end of a name that is too long for an axis: that is where addresses differ."""
    return name if len(name) <= LABEL else f"…{name[1 - LABEL :]}"


def titled(title: str | None, code: str) -> str:
    """The name of what has a title as well: two lines on an axis, the title's beginning above the
    code. Without a title, the code."""
    words = " ".join((title or "").split())
    return f"{words}\n{code}" if words else code


def _on_axis(name: str) -> str:
    title, line, code = name.rpartition("\n")
    title = title if len(title) <= LABEL else f"{title[: LABEL - 1].rstrip()}…"
    return f"{title}{line}{shortened(code)}"


def _aloud(name: str) -> str:
    return name.replace("\n", ", ")


def _left(names: list[str]) -> float:
    """Inches to the left of the axes. Letters are counted; measuring them means drawing twice."""
    widest = (len(line) for name in names for line in _on_axis(name).splitlines())
    return 0.2 + LETTER * max(widest, default=0)


@contextmanager
def _drawing(
    height: float, names: list[str], *, top: float = 0.1, bottom: float = 0.5
) -> Iterator[tuple[Axes, list[str]]]:
    """Axes to draw on; the SVG is in the list afterwards.

    Args:
        height: of the whole in inches, like `top` and `bottom` around the axes.
        names: to the left of the axes.
    """
    # matplotlib loads slowly, and most commands draw nothing.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    drawn: list[str] = []
    # Text stays text, whatever stands in it; a fixed salt keeps names of elements the same.
    style = rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "risk",
            "font.family": "sans-serif",
            "text.parse_math": False,
        }
    )
    with style, warnings.catch_warnings():
        # The reader's fonts have what this machine's lack, and the warning would spell it out.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure = Figure(figsize=(WIDTH, height))
        axes = figure.subplots()
        figure.subplots_adjust(
            left=_left(names) / WIDTH,
            right=1 - RIGHT / WIDTH,
            top=1 - top / height,
            bottom=bottom / height,
        )
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(GREY)
        yield axes, drawn
        out = StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    svg = out.getvalue()
    drawn.append(svg[svg.index("<svg") :])


def _labelled(svg: str, about: str, values: list[str]) -> Markup:
    """The SVG with a label that screen readers read aloud."""
    label = Markup.escape(f"{about}: " + "; ".join(values))
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1))


def bars(
    names: list[str],
    values: list[float],
    axis: str,
    *,
    shares: bool,
    about: str,
    spoken: Language = ENGLISH,
) -> Markup:
    """A horizontal bar chart.

    Args:
        shares: values are shares, else counts.
    """
    written = spoken.share if shares else spoken.number
    labels = [written(value) for value in values]
    with _drawing(ROW * len(names) + 0.8, names) as (axes, drawn):
        drawn_bars = axes.barh(range(len(names)), values, color=BLUE, height=0.65)
        axes.set_yticks(range(len(names)), [_on_axis(name) for name in names], fontsize=9)
        axes.bar_label(drawn_bars, labels, padding=4, fontsize=9)
        axes.set_ylim(len(names) - 0.5, -0.5)  # the first on top, no room lost
        axes.set_xlabel(axis)
        axes.set_xlim(0, 1.12 if shares else max([*values, 1]) * 1.15)
        axes.xaxis.set_major_formatter(lambda x, _: written(x))
    return _labelled(
        drawn[0], about, [f"{_aloud(n)} {label}" for n, label in zip(names, labels, strict=True)]
    )


def lines(
    names: list[str],
    series: dict[str, list[float | None]],
    about: str,
    spoken: Language = ENGLISH,
    band: list[tuple[float, float] | None] | None = None,
) -> Markup:
    """Shares over time, each line named at its end; None leaves a gap.

    Args:
        band: between which shares something else lies, drawn behind the lines.
    """
    with _drawing(2.8, [f"{spoken.share(1.0)} "], bottom=0.8) as (axes, drawn):
        at = range(len(names))
        if band:
            low, high = ([float("nan") if b is None else b[n] for b in band] for n in (0, 1))
            axes.fill_between(at, low, high, color=SHADES[3], linewidth=0)
        for (name, values), colour, style in zip(
            series.items(), (SHADES[0], ORANGE), ("-", "--"), strict=False
        ):
            points = [float("nan") if v is None else v for v in values]
            axes.plot(at, points, style, color=colour, marker="o", markersize=4)
            last = next((n for n in reversed(at) if values[n] is not None), None)
            if last is not None:
                axes.annotate(
                    name,
                    (last, values[last] or 0),
                    xytext=(8, -3),
                    textcoords="offset points",
                    fontsize=9,
                    color=colour,
                )
        axes.set_xticks(at, names, rotation=45, ha="right")
        axes.set_xlim(-0.3, len(names) - 1 + max(1.2, len(names) * 0.2))
        axes.set_ylim(0, 1.05)
        axes.yaxis.set_major_formatter(lambda y, _: spoken.share(y))
        axes.grid(axis="y", color=GREY, alpha=0.4)
    aloud = [
        f"{name} " + ", ".join(f"{n} {spoken.share(v)}" for n, v in zip(names, values, strict=True))
        for name, values in series.items()
    ]
    return _labelled(drawn[0], about, aloud)


def stacks(
    names: list[str],
    parts: dict[str, list[float]],
    about: str,
    spoken: Language = ENGLISH,
) -> Markup:
    """Bars of shares that add up to the whole, one part next to the other."""
    with _drawing(ROW * len(names) + 1.2, names, top=0.6, bottom=0.4) as (axes, drawn):
        left = [0.0] * len(names)
        room = WIDTH - RIGHT - _left(names)
        for (part, values), shade in zip(parts.items(), SHADES, strict=False):
            drawn_bars = axes.barh(
                range(len(names)),
                values,
                left=left,
                color=shade,
                label=part,
                height=0.65,
                edgecolor="white",
            )
            written = [spoken.share(v) for v in values]
            axes.bar_label(
                drawn_bars,
                [
                    w if len(w) * LETTER <= v * room else ""
                    for w, v in zip(written, values, strict=True)
                ],
                label_type="center",
                fontsize=8,
                color="white" if shade in SHADES[:2] else "black",
            )
            left = [a + b for a, b in zip(left, values, strict=True)]
        axes.set_yticks(range(len(names)), [_on_axis(name) for name in names], fontsize=9)
        axes.set_ylim(len(names) - 0.5, -0.5)  # the first on top, no room lost
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(lambda x, _: spoken.share(x))
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize=8)
    aloud = [
        f"{_aloud(name)} "
        + ", ".join(f"{part} {spoken.share(values[n])}" for part, values in parts.items())
        for n, name in enumerate(names)
    ]
    return _labelled(drawn[0], about, aloud)
