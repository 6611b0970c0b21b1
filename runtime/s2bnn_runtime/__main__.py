"""`python -m s2bnn_runtime` is `s2bnn-run`."""

import sys

from s2bnn_runtime.cli import main

sys.exit(main())
