"""What can be proved about attention by block, and measured attention held against it."""
