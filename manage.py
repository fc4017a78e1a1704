#!/usr/bin/env python
"""LunaRoute's commands, and Django's."""

import sys

from lunaroute_site.cli import main

if __name__ == "__main__":
    sys.exit(main())
