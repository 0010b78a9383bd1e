import pytest

from synfill.analysis import pictures as plot
from synfill.analysis.pictures import Bar, draw_bars

FEW = [Bar(f"class {k}", 300 - 60 * k, 60 * k) for k in range(5)]
MANY = [Bar(f"class {k}", 300 - 3 * k, 3 * k) for k in range(100)]


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("panels", [[FEW], [FEW, FEW], [MANY], [MANY, FEW], [FEW[1:2]]])
def test_the_legend_covers_nothing(panels, beside, monkeypatch):
    drawn = []
    draw = plot._draw
    monkeypatch.setattr(plot, "_draw", lambda *given: drawn.append(draw(*given)) or drawn[-1])
    titled = [(f"a rather long title of panel number {k}", bars) for k, bars in enumerate(panels)]
    draw_bars(titled, "png", beside)
    (figure,) = drawn
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert box.width > 20 and figure.bbox.x1 >= box.x1 and figure.bbox.y1 >= box.y1
    assert [text.get_text() for text in legend.get_texts()] == ["real", "synthetic"]
    for axes in figure.axes:
        assert not box.overlaps(axes.get_tightbbox()), (box, axes.get_tightbbox())


def test_without_synthetic_images_there_is_no_legend():
    assert draw_bars([("x", [Bar("a", 3)])], "png") == draw_bars([("x", [Bar("a", 3, 0)])], "png")
