"""A part-load curve as a picture: one SVG, alone or in a page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 760, 460, 70, 50, 20, 60
_X_SPAN, _Y_SPAN = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

Point = tuple[float, float]


def curve_svg(
    title: str, points: Sequence[Point], *, full_load_kw: float, marks: Sequence[Point] = ()
) -> str:
    """Power over flow, both as shares of full load, as an SVG document.

    `points` are (capacity fraction, kW) by rising fraction and make the line, `marks` the dots.
    """
    top = max(1.0, *(power / full_load_kw for _, power in points))
    top = 1.2 if top > 1.0 else 1.0

    def place(point: Point) -> str:
        x = _LEFT + _X_SPAN * point[0]
        y = _TOP + _Y_SPAN * (1.0 - point[1] / full_load_kw / top)
        return f"{x:.1f},{y:.1f}"

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="28" font-size="16" fill="#222">{escape(title)}</text>',
    ]
    for tenth in range(0, round(top * 10) + 1, 2):
        y = _TOP + _Y_SPAN * (1.0 - tenth / 10.0 / top)
        lines.append(f'<path d="M{_LEFT} {y:.1f}h{_X_SPAN}" stroke="#ddd"/>')
        lines.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tenth * 10} %</text>')
    for tenth in range(0, 11, 2):
        x = _LEFT + _X_SPAN * tenth / 10.0
        lines.append(f'<path d="M{x:.1f} {_TOP}v{_Y_SPAN}" stroke="#ddd"/>')
        lines.append(
            f'<text x="{x:.1f}" y="{_TOP + _Y_SPAN + 20}" text-anchor="middle">{tenth * 10} %</text>'
        )
    ideal = f"{place((0.0, 0.0))} {place((1.0, full_load_kw))}"
    lines.append(f'<polyline points="{ideal}" fill="none" stroke="#999" stroke-dasharray="5 5"/>')
    path = " ".join(place(point) for point in points)
    lines.append(f'<polyline points="{path}" fill="none" stroke="#0b62a8" stroke-width="2.5"/>')
    for mark in marks:
        cx, cy = place(mark).split(",")
        text = f"{mark[0]:.0%} flow: {mark[1]:.1f} kW"
        lines.append(f'<circle cx="{cx}" cy="{cy}" r="4.5" fill="#c2410c"><title>{text}</title></circle>')
    lines.append(
        f'<text x="{_LEFT + _X_SPAN / 2}" y="{_HEIGHT - 14}" text-anchor="middle">mean flow, share of capacity'
        "</text>"
    )
    lines.append(
        f'<text transform="translate(18 {_TOP + _Y_SPAN / 2}) rotate(-90)" text-anchor="middle">mean power, share '
        f"of {full_load_kw:g} kW</text></svg>"
    )
    return "\n".join(lines) + "\n"


def curve_page(title: str, svg: str) -> str:
    """The picture in a page that stands alone: no script, nothing loaded from elsewhere."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title></head>\n<body style='max-width:60rem;margin:auto'>\n{svg}"
        "<p>Dashed: power in proportion to flow. Source: part-load equations of AIRMaster+ / MEASUR.</p>\n"
        "</body></html>\n"
    )
