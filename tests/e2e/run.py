#!/usr/bin/env python3
"""Runs the end-to-end tests with pytest.

  run.py SPARD SPAR CLIENT_AGAINST_SPARD [PYTEST_ARGUMENT ...]
"""

import os
import pathlib
import runpy
import sys

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = HERE.parent.parent / "client" / "python"


def main():
    import pytest

    os.environ["SPARD"], os.environ["SPAR"], os.environ["SPAR_CLIENT_TEST"] = sys.argv[1:4]
    runpy.run_path(str(PACKAGE / "generate.py"))["main"]()
    sys.path[:0] = [str(PACKAGE), str(HERE)]
    return pytest.main(["-q", "-p", "no:cacheprovider", "--durations=10",
                        *(sys.argv[4:] or [str(HERE)])])


if __name__ == "__main__":
    sys.exit(main())
