"""Looking at a request's headers, which are pairs of texts in order."""

Pairs = list[tuple[str, str]]


def header(headers: Pairs, name: str) -> str:
    """Give the value of the first header called `name` (lower case), or an empty text."""
    return next((value for key, value in headers if key.lower() == name), "")
