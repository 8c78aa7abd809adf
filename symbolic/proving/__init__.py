"""What is proved of a rule set before it runs."""
