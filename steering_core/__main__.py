"""``python -m steering_core``: the same as ``steer``."""

import sys

from .cli import main

sys.exit(main())
