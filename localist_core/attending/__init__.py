"""Attention by block under a dial: what is measured, what is steered, on CPU and GPU."""
