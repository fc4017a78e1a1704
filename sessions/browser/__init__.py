"""What the pages show of the record: from what was recorded to what a template needs, mostly pure functions."""
