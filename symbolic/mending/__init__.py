"""What to do instead: the nearest safe action, and what to concede where there is none."""
