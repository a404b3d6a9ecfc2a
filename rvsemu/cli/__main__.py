"""``python -m rvsemu.cli``."""

import sys

from . import main

sys.exit(main())
