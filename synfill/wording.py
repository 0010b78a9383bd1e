"""Words that go with a number."""


def counted(number: int, one: str, many: str = "") -> str:
    """ "1 image", "2 images", "1,000 images".

    Args:
        number: How many.
        one: The words for a single one.
        many: The words for any other number; `one` with an s where it isn't given.
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
