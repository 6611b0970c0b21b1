import sys

from s2bnn_runtime.cli import main

sys.exit(main())
