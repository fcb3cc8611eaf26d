"""``python -m dropbell``."""

import sys

from dropbell.command_line import main

sys.exit(main())
