"""Readings of a rule: the specification, the compiled function, arrays, residuals, lines, sentences."""
