"""Choices too many to list, written token by token under a grammar and the dial."""
