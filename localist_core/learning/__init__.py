"""How a core is made or adapted: lessons, losses, group sparsity, thresholds, examination."""
