#!/usr/bin/env python3
"""Imports a run of the spd library; see spar/import_spd/."""

import sys

from spar.import_spd.command import main

if __name__ == "__main__":
    sys.exit(main())
