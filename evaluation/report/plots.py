"""Small inline SVG plots. Numbers stand beside them in text, so they are hidden from readers."""

from collections.abc import Sequence

from markupsafe import Markup

from evaluation.statistics import Interval


def scale_of(intervals: Sequence[Interval], floor: float = 0.02) -> float:
    """The largest bound, so that all intervals of a table share one symmetric scale."""
    ends = [abs(v) for i in intervals for v in (i.low, i.high, i.estimate) if v is not None]
    return max([floor, *(end for end in ends if end == end)]) * 1.08


def forest(interval: Interval, limit: float, width: int = 160, height: int = 22) -> Markup:
    """An interval on a scale from -limit to +limit with the zero line."""

    def x(value: float) -> float:
        return round((value + limit) / (2 * limit) * width, 1)

    middle = height / 2
    parts = [f'<line class="zero" x1="{x(0)}" x2="{x(0)}" y1="0" y2="{height}"/>']
    if interval.low is not None and interval.high is not None:
        parts.append(
            f'<line class="bar" x1="{x(interval.low)}" x2="{x(interval.high)}" '
            f'y1="{middle}" y2="{middle}"/>'
        )
    if interval.estimate == interval.estimate:
        parts.append(f'<circle class="dot" cx="{x(interval.estimate)}" cy="{middle}" r="4.5"/>')
    kind = sign(interval)
    return Markup(  # noqa: S704  numbers only
        f'<svg class="forest {kind}" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" aria-hidden="true">{"".join(parts)}</svg>'
    )


def sign(interval: Interval) -> str:
    """Whether the interval is clear of zero: "better", "worse" or "unclear"."""
    if interval.low is not None and interval.low > 0:
        return "better"
    if interval.high is not None and interval.high < 0:
        return "worse"
    return "unclear"


def histogram(
    series: Sequence[tuple[str, Sequence[float]]],
    low: float = -4.0,
    high: float = 4.0,
    bins: int = 32,
    width: int = 640,
    height: int = 150,
) -> Markup:
    """Bars of how often each value occurs, one colour class a series, as shares."""
    import numpy as np

    shares = []
    for _, values in series:
        counts, _ = np.histogram(np.clip(values, low, high), bins=bins, range=(low, high))
        shares.append(counts / max(1, counts.sum()))
    top = max([float(share.max()) for share in shares] + [1e-9])
    step = width / bins
    parts = []
    for index, share in enumerate(shares):
        wide = step / len(shares) * 0.86
        for place, value in enumerate(share):
            if value:
                tall = float(value) / top * (height - 26)
                left = place * step + index * wide + step * 0.07
                parts.append(
                    f'<rect class="series{index}" x="{left:.1f}" y="{height - 20 - tall:.1f}" '
                    f'width="{wide:.1f}" height="{tall:.1f}" rx="1.5"/>'
                )
    for tick in range(int(low), int(high) + 1):
        x = (tick - low) / (high - low) * width
        anchor = "start" if tick == low else "end" if tick == high else "middle"
        parts.append(f'<text x="{x:.1f}" y="{height - 5}" text-anchor="{anchor}">{tick:+d}</text>')
    middle = -low / (high - low) * width
    zero = f'<line class="zero" x1="{middle}" x2="{middle}" y1="0" y2="{height - 20}"/>'
    return Markup(  # noqa: S704  numbers only
        f'<svg class="histogram" viewBox="0 0 {width} {height}" width="100%" '
        f'aria-hidden="true">{zero}{"".join(parts)}</svg>'
    )
