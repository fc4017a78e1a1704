"""Looking at a request's headers, which are pairs of texts in order."""

Pairs = list[tuple[str, str]]


def header(headers: Pairs, name: str) -> str:
    """Give the value of the first header called `name` (lower case), or an empty text."""
    length = len(name)
    for key, value in headers:  # a generator takes twice as long, and recorder and proxy ask all the time
        if len(key) == length and key.lower() == name:
            return value
    return ""
