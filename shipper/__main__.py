"""`python -m shipper` is the `shipper` command."""

from __future__ import annotations

import sys

from shipper.cli import main

if __name__ == "__main__":
    sys.exit(main())
