"""Claims: fields that hold what others say, how they enter the facts, and whom a set trusts."""
