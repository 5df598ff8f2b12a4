"""Grouped bars as an SVG that reads on a light and on a dark page; a PNG of it where a converter is installed."""

import shutil
import subprocess
from xml.sax.saxutils import escape

INK, GRID = "#7d8590", "#7d859055"
COLOURS = {"relay": "#8c959f", "haproxy": "#c98a2b", "pgbouncer": "#4c8fd6", "dbproxy": "#2da36b", "direct": "#a475c9"}


def nice_step(top):
    for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500):
        if top / step <= 6:
            return step
    return top / 5


def bars(title, subtitle, unit, panels, series):
    """`panels`: [(panel title, [(group label, {series name: value or None})])]; `series`: [(name, label)]."""
    width, height, left, top, bottom, gap = 960, 420, 60, 96, 60, 24
    plot = height - top - bottom
    highest = max((value for _, groups in panels for _, values in groups for value in values.values() if value),
                  default=1) * 1.08
    step = nice_step(highest)
    panel_width = (width - left - 16 - gap * (len(panels) - 1)) / len(panels)

    def y(value):
        return top + plot * (1 - value / highest)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
           f'font-family="system-ui, DejaVu Sans, sans-serif" font-size="12" fill="{INK}" role="img">',
           f"<title>{escape(title)}</title>",
           f'<text x="{left}" y="26" font-size="17" font-weight="600">{escape(title)}</text>',
           f'<text x="{left}" y="45">{escape(subtitle)}</text>']
    at = left
    for name, label in series:
        out.append(f'<rect x="{at}" y="58" width="11" height="11" rx="2" fill="{COLOURS.get(name, INK)}"/>')
        out.append(f'<text x="{at + 16}" y="68">{escape(label)}</text>')
        at += 34 + 6.8 * len(label)
    for index in range(int(highest / step) + 1):
        line = y(index * step)
        out.append(f'<line x1="{left}" x2="{width - 16}" y1="{line:.1f}" y2="{line:.1f}" stroke="{GRID}"/>')
        out.append(f'<text x="{left - 8}" y="{line + 4:.1f}" text-anchor="end">{index * step:g}</text>')
    out.append(f'<text x="14" y="{top + plot / 2:.0f}" transform="rotate(-90 14 {top + plot / 2:.0f})" '
               f'text-anchor="middle">{escape(unit)}</text>')
    for position, (panel, groups) in enumerate(panels):
        x0 = left + position * (panel_width + gap)
        out.append(f'<text x="{x0 + panel_width / 2:.1f}" y="{height - 14}" text-anchor="middle" '
                   f'font-weight="600">{escape(panel)}</text>')
        group_width = panel_width / max(1, len(groups))
        for number, (label, values) in enumerate(groups):
            x1 = x0 + number * group_width + 6
            bar = (group_width - 12) / len(series)
            out.append(f'<text x="{x1 + bar * len(series) / 2:.1f}" y="{height - 36}" '
                       f'text-anchor="middle">{escape(label)}</text>')
            for place, (name, _) in enumerate(series):
                value, x = values.get(name), x1 + place * bar
                if value is None:
                    out.append(f'<text x="{x + bar / 2:.1f}" y="{top + plot - 4}" font-size="8" '
                               f'text-anchor="middle">n/a</text>')
                    continue
                out.append(f'<rect x="{x + 0.75:.1f}" y="{y(value):.1f}" width="{bar - 1.5:.1f}" '
                           f'height="{plot * value / highest:.1f}" rx="1.5" fill="{COLOURS.get(name, INK)}"/>')
                out.append(f'<text x="{x + bar / 2:.1f}" y="{y(value) - 3:.1f}" font-size="8.5" '
                           f'text-anchor="middle">{value:.1f}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


def png(svg_path, png_path):
    """True when a converter was there and did it."""
    for command in (["rsvg-convert", "-z", "2", "-b", "white", "-o", png_path, svg_path],
                    ["inkscape", svg_path, "--export-filename", png_path]):
        if shutil.which(command[0]):
            return subprocess.run(command, capture_output=True).returncode == 0
    try:
        import cairosvg
        cairosvg.svg2png(url=svg_path, write_to=png_path, scale=2, background_color="white")
        return True
    except ImportError:
        return False
