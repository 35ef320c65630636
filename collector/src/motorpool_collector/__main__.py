"""``python -m motorpool_collector``."""

import sys

from motorpool_collector.cli import main

sys.exit(main())
