"""The solver: its thread, its contexts and what it is asked."""
