"""A guard around anyone's agent: always a compliant action or the declared safe stop, within a deadline."""
