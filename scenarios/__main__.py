"""`python -m scenarios` is the command `localist`."""

import sys

from scenarios.cli import main

sys.exit(main())
