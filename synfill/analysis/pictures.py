"""Pictures: bars of counts, and a grid of samples. Knows numbers and images, not where from."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REAL = "#4C72B0"
SYNTHETIC = "#DD8452"
MOST_NAMED_BARS = 40


@dataclass(frozen=True)
class Bar:
    """One bar: real images below, synthetic ones on top."""

    name: str
    real: int
    synthetic: int = 0


def draw_bars(
    panels: Sequence[tuple[str, Sequence[Bar]]], file_format: str, beside: bool = False
) -> bytes:
    """Draw panels of bars, below each other or beside each other.

    Args:
        panels: (title, bars) pairs. Above 40 bars a panel shows them without names, largest first.
        file_format: "png" or "svg".
        beside: Beside each other, with the same names and the same scale.

    Returns:
        The file's bytes; the same for the same input.
    """
    import matplotlib

    heights = [0.9 + 0.2 * len(bars) if _named(bars) else 2.8 for _, bars in panels]
    shape: dict[str, Any] = {"nrows": len(panels), "height_ratios": heights}
    if beside:
        heights = [max(heights)]
        shape = {"ncols": len(panels), "sharex": True, "sharey": True}
    # A salt of one's own, or SVG ids differ from run to run.
    with matplotlib.rc_context({"svg.hashsalt": "synfill", "font.size": 9}):
        figure = _draw(panels, sum(heights), shape)
        buffer = io.BytesIO()
        metadata = {"Software": None} if file_format == "png" else {"Date": None, "Creator": None}
        figure.savefig(buffer, format=file_format, dpi=120, metadata=metadata)
    return buffer.getvalue()


def _draw(
    panels: Sequence[tuple[str, Sequence[Bar]]], height: float, shape: dict[str, Any]
) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    mixed = any(bar.synthetic for _, bars in panels for bar in bars)
    figure = Figure(figsize=(8, height + 0.3 * mixed), layout="constrained")
    all_axes = figure.subplots(squeeze=False, **shape)
    for axes, (title, bars) in zip(all_axes.flat, panels, strict=True):
        _draw_panel(axes, title, bars)
    if mixed:
        # Above all panels, with room of its own: within one it would lie over bars.
        figure.legend(
            handles=[Patch(color=REAL, label="real"), Patch(color=SYNTHETIC, label="synthetic")],
            loc="outside upper right", ncols=2, frameon=False, fontsize=8,
        )  # fmt: skip
    return figure


def _named(bars: Sequence[Bar]) -> bool:
    return len(bars) <= MOST_NAMED_BARS


def _draw_panel(axes: Axes, title: str, bars: Sequence[Bar]) -> None:
    # Class names are not TeX: a lone dollar sign would be read as the start of a formula.
    axes.set_title(title.replace("$", r"\$"), loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    mixed = any(bar.synthetic for bar in bars)
    if _named(bars):
        places = range(len(bars))
        real = [bar.real for bar in bars]
        axes.barh(places, real, color=REAL)
        if mixed:
            made = [bar.synthetic for bar in bars]
            axes.barh(places, made, left=real, color=SYNTHETIC)
        axes.set_yticks(list(places), [_shorten(bar.name) for bar in bars])
        axes.set_ylim(len(bars) - 0.4, -0.6)
        for place, shown in enumerate(bars):
            total = shown.real + shown.synthetic
            axes.annotate(f"{total:,}", (total, place), (3, 0), textcoords="offset points",
                          va="center", fontsize=8)  # fmt: skip
        # Room for the numbers at the ends.
        axes.set_xlim(0, max(1.0, 1.1 * max((b.real + b.synthetic for b in bars), default=0)))
        axes.set_xlabel("images")
    else:
        ordered = sorted(bars, key=lambda bar: (-bar.real, bar.name))
        real = [bar.real for bar in ordered]
        axes.bar(range(len(ordered)), real, width=1.0, color=REAL)
        if mixed:
            made = [bar.synthetic for bar in ordered]
            axes.bar(range(len(ordered)), made, width=1.0, bottom=real, color=SYNTHETIC)
        axes.set_xlabel(f"{len(bars)}, largest first")
        axes.set_ylabel("images")


def _shorten(name: str) -> str:
    text = name if len(name) <= 40 else f"{name[:37]}..."
    return text.replace("$", r"\$")


def draw_samples(
    rows: Sequence[tuple[str, Sequence[Image.Image], Sequence[Image.Image]]], tile: int = 72
) -> bytes:
    """Draw real images beside synthetic ones, a row a class.

    Args:
        rows: (name, real images, synthetic images); images of mode RGB or L and any size.
        tile: Side of a picture in the grid, in pixels.

    Returns:
        A PNG's bytes.
    """
    font = ImageFont.load_default(13)
    columns = [max((len(row[k]) for row in rows), default=0) for k in (1, 2)]
    margin, gap, head, names = 10, 4, 26, 150
    width = names + sum(columns) * (tile + gap) + 3 * margin
    height = head + len(rows) * (tile + gap) + margin
    canvas = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(canvas)
    starts = [names + margin, names + 2 * margin + columns[0] * (tile + gap)]
    for start, title, color in zip(starts, ("real", "synthetic"), (REAL, SYNTHETIC), strict=True):
        draw.text((start, 6), title, fill=color, font=font)
    for line, (name, *kinds) in enumerate(rows):
        top = head + line * (tile + gap)
        label = name if len(name) <= 20 else f"{name[:17]}..."
        draw.text((margin, top + tile // 2 - 8), label, fill="black", font=font)
        for start, images in zip(starts, kinds, strict=True):
            for k, image in enumerate(images):
                fitted = image.convert("RGB").copy()
                scale = tile / max(fitted.size)
                size = (max(1, round(fitted.width * scale)), max(1, round(fitted.height * scale)))
                # Small scans are shown pixel by pixel, not blurred.
                sampling = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
                canvas.paste(fitted.resize(size, sampling), (start + k * (tile + gap), top))
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
