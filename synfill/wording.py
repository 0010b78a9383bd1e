"""Words that go with a number, and lists for a message."""

from collections.abc import Iterable, Sequence


def counted(number: int, one: str, many: str = "") -> str:
    """ "1 image", "2 images", "1,000 images".

    Args:
        number: How many.
        one: The words for a single one.
        many: The words for any other number; `one` with an s where it isn't given.
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def format_duration(seconds: float) -> str:
    """Seconds for a person: 45 s, 12 min, 3.4 h, 2.1 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


def list_some(names: Iterable[str], most: int = 5) -> str:
    """The first few names with commas between, and "..." where there are more."""
    listed = list(names)
    return ", ".join(listed[:most]) + (", ..." if len(listed) > most else "")


def list_lines(lines: Sequence[str], most: int = 5) -> str:
    """Some lines below each other, indented, and how many there are besides.

    Args:
        lines: They.
        most: So many are shown.
    """
    more = len(lines) - most
    shown = [*lines[:most], *([f"... and {more:,} more"] if more > 0 else [])]
    return "\n".join(f"  {line}" for line in shown)


def list_names(names: Sequence[str], most: int = 5) -> str:
    """Some names in a line, and how many there are besides: "a, b and 3 more"."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def format_speed(rate: float | None, seconds_left: float | None) -> tuple[str, str]:
    """Images a second and seconds left as progress shows them; "" for what isn't known."""
    speed = f"{rate:.2f} images/s" if rate is not None else ""
    return speed, f"{format_duration(seconds_left)} left" if seconds_left is not None else ""
