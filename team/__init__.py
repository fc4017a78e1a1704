"""A team: users and their tokens, projects that they share, and a log of who read and changed what."""
