"""The import of spd's runs, all of it: the import_*_test.py files beside this.

Run as: spd_import_test.py PROBE... [-- ARGUMENT_OF_pytest...]

The probes are spar_open_probe, spar_forward_probe and spar_decomposition_probe,
by their paths.
"""

import os
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[2] / "client/python")]

if __name__ == "__main__":
    arguments = sys.argv[1:]
    end = arguments.index("--") if "--" in arguments else len(arguments)
    for probe in map(pathlib.Path, arguments[:end]):
        os.environ[probe.name.upper()] = str(probe)
    files = [str(file) for file in sorted(HERE.glob("import_*_test.py"))]
    options = ["-q", "-p", "no:cacheprovider", *arguments[end + 1 :]]
    sys.exit(pytest.main([*files, *options]))
