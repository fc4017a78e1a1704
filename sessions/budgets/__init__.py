"""What may be spent in a day or a month: definitions, sums, notices, and what is refused beyond them."""
