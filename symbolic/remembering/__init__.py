"""Rules about what was perceived before: operators, monitors of constant size, and what they mean."""
