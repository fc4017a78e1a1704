"""What keeps an installation well: checks, copies, and a database made anew."""
