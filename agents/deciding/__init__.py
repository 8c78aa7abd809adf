"""Where a neural proposal meets a symbolic verdict."""
