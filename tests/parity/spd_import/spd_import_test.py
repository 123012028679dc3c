"""The import of spd's runs, all of it: the import_*_test.py files beside this.

Run as: spd_import_test.py PROGRAM... [-- ARGUMENT_OF_pytest...]

The programs are spar_open_probe, spar_forward_probe, spar_decomposition_probe and
spard, by their paths.
"""

import os
import pathlib
import runpy
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = HERE.parents[2] / "client/python"
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "e2e"), str(PACKAGE)]

if __name__ == "__main__":
    arguments = sys.argv[1:]
    end = arguments.index("--") if "--" in arguments else len(arguments)
    for program in map(pathlib.Path, arguments[:end]):
        os.environ[program.name.upper()] = str(program)
    runpy.run_path(str(PACKAGE / "generate.py"))["main"]()
    files = [str(file) for file in sorted(HERE.glob("import_*_test.py"))]
    options = ["-q", "-p", "no:cacheprovider", *arguments[end + 1 :]]
    sys.exit(pytest.main([*files, *options]))
