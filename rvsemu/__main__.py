"""``python -m rvsemu``."""

import sys

from .cli import main

sys.exit(main())
