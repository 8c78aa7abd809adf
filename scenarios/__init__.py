"""Worlds, rules and roles; runs, campaigns and reports; the command line."""
