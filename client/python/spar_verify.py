#!/usr/bin/env python3
"""Verifies a certificate without Spar's code; see spar/verify.py."""

import sys

from spar.verify import main

if __name__ == "__main__":
    sys.exit(main())
