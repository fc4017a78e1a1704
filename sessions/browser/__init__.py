"""What the pages show of the record: pure functions from what was recorded to what a template needs."""
