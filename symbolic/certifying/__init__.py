"""Certificates, and the checker that trusts none of our code."""
