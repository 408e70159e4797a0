"""How figures are written for people: one spelling in CLI, report and UI, three significant digits and a unit."""

from __future__ import annotations

from pydantic import ByteSize

_TIME_UNITS = ((3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_COUNT_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def significant(value: float, digits: int = 3) -> str:
    """`value` with `digits` significant digits, without an exponent where a person would not write one."""
    if value == 0:
        return "0"
    text = f"{value:.{digits}g}"
    if "e" not in text:
        return text
    return f"{float(text):.0f}" if 1 <= abs(value) < 1e9 else text


def measured(value: float) -> str:
    """Three significant digits, trailing zeros included: `1.80` says more than `1.8`."""
    if value == 0:
        return "0"
    text = f"{value:#.3g}"
    return significant(value) if "e" in text else text.rstrip(".")


def duration(seconds: float) -> str:
    """e.g. `41.3 ms`, `1.84 s`, `2.05 min`."""
    scale, unit = _time_unit(seconds)
    return f"{measured(seconds / scale)} {unit}"


def duration_range(low: float, middle: float, high: float) -> str:
    """`middle [low, high]` in the unit of the middle, e.g. `1.84 s [1.80, 1.91]`."""
    scale, unit = _time_unit(middle)
    return f"{measured(middle / scale)} {unit} [{measured(low / scale)}, {measured(high / scale)}]"


def _time_unit(seconds: float) -> tuple[float, str]:
    # 0.9995: what rounds to 1.00 s is written so, not as 1000 ms.
    return next(((scale, unit) for scale, unit in _TIME_UNITS if seconds >= scale * 0.9995), _TIME_UNITS[-1])


def size(count: int) -> str:
    """Bytes in binary units, e.g. `11.2 GiB`."""
    return ByteSize(count).human_readable(separator=" ")


def count(value: float) -> str:
    """A large number in short, e.g. `1.2 M`; whole below a thousand."""
    for scale, unit in _COUNT_UNITS:
        if value >= scale * 0.9995:
            return f"{measured(value / scale)} {unit}"
    return significant(value)


def share(value: float) -> str:
    """A share as a percentage, e.g. `4.2 %`; `<0.1 %` instead of a false zero."""
    if 0 < value < 0.001:
        return "<0.1 %"
    return f"{value * 100:.1f} %"


def factor(ratio: float) -> str:
    """A ratio of times without its sign: `0.31`, `1.80`, `12.5`, `140`."""
    digits = 0 if ratio >= 100 else 1 if ratio >= 10 else 2
    return f"{ratio:.{digits}f}" if ratio >= 0.095 else f"{ratio:.2g}"


def times(ratio: float) -> str:
    """`factor` with a multiplication sign; exactly one, as of the reference to itself, without zeros."""
    return f"{'1' if ratio == 1 else factor(ratio)}\N{MULTIPLICATION SIGN}"
