"""Production's RQ job worker: `python worker.py [--queues …]`, configured by the environment."""

import sys

from crowd.core.loading import loading

with loading():
    from crowd.jobworker import main

if __name__ == "__main__":
    sys.exit(main())
