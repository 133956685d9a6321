"""`python -m mxcheck_service` is the `mxcheck` command."""

import sys

from mxcheck_service.cli import main

if __name__ == "__main__":
    sys.exit(main())
