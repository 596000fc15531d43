"""`syslogauth VERB ...` and `python -m syslogauth VERB ...`."""

import sys

from syslogauth.cli import main

if __name__ == "__main__":
    sys.exit(main())
