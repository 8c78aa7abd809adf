"""Commands of `localist`, one file each: `add(commands)` declares the arguments, and sets the function that runs.

`scenarios/cli.py` holds the commands about one run; what studies or makes a core stands here.
"""
