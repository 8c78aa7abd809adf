"""Agents: where a neural proposal meets a symbolic verdict, what they say to each other, and what is recorded."""
