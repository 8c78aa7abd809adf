"""One language model for all agents: requests in, choices out; caches, batches, checks."""
