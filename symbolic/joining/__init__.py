"""Rules that bind several agents at once."""
