"""The import of spd's runs, all of it: the import_*_test.py files beside this.

Run as: spd_import_test.py PATH_OF_spar_open_probe [ARGUMENT_OF_pytest ...]
"""

import os
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[2] / "client/python")]

if __name__ == "__main__":
    os.environ["SPAR_OPEN_PROBE"] = sys.argv[1]
    files = [str(file) for file in sorted(HERE.glob("import_*_test.py"))]
    sys.exit(pytest.main([*files, "-q", "-p", "no:cacheprovider", *sys.argv[2:]]))
