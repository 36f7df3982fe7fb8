"""`python -m evosearch` is the command `evosearch`."""

import sys

from evosearch.cli.main import main

sys.exit(main())
