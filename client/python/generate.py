#!/usr/bin/env python3
"""Generates the stubs of the Python package from the repository's protos.

  python client/python/generate.py

Writes client/python/spar/_generated/ (not committed) with grpcio-tools. Quick
when the stubs are newer than the protos; safe to run several at once.
"""

import os
import pathlib
import re
import shutil
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PROTOS = HERE.parent.parent / "proto"
TARGET = HERE / "spar" / "_generated"
SERVICES = ("spar/v1/model_service.proto", "spar/v1/attribution.proto",
            "spar/v1/evaluation.proto", "spar/v1/training.proto",
            "spar/v1/explanation_service.proto", "spar/v1/ablation_service.proto",
            "spar/v1/decomposition_service.proto", "spar/v1/pruning_service.proto")
DETAILS = ("google/rpc/status.proto", "google/rpc/error_details.proto")
# The generated files import one another as "spar.v1", which is no module here.
IMPORT = re.compile(r"^from spar\.v1 import", re.MULTILINE)


def protoc(*arguments):
    """Runs grpcio-tools' compiler; raises RuntimeError when it refuses."""
    import grpc_tools
    from grpc_tools import protoc as compiler

    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    command = ["protoc", f"-I{PROTOS}", f"-I{well_known}", *arguments]
    if compiler.main(command) != 0:
        raise RuntimeError("protoc failed: " + " ".join(command))


def is_current():
    """Whether every stub is newer than what it is made from."""
    made = TARGET / "details.binpb"
    if not made.is_file():
        return False
    sources = [PROTOS / name for name in SERVICES + DETAILS]
    sources.append(pathlib.Path(__file__))
    newest = max(source.stat().st_mtime for source in sources)
    return made.stat().st_mtime > newest


def generate_into(folder):
    """Writes the stubs into an empty folder."""
    protoc(f"--python_out={folder}", f"--grpc_python_out={folder}", *SERVICES)
    # A descriptor set of its own pool: a program may also hold another
    # package's google/rpc, and one pool takes a file name only once.
    protoc(f"--descriptor_set_out={folder}/details.binpb", "--include_imports",
           *DETAILS)
    for package in (folder, folder / "spar", folder / "spar" / "v1"):
        (package / "__init__.py").touch()
    for stub in folder.rglob("*_pb2*.py"):
        text = stub.read_text(encoding="utf-8")
        stub.write_text(IMPORT.sub("from spar._generated.spar.v1 import", text),
                        encoding="utf-8")


def main():
    if is_current():
        return 0
    temporary = pathlib.Path(tempfile.mkdtemp(dir=TARGET.parent, prefix=".generated-"))
    try:
        generate_into(temporary)
        os.chmod(temporary, 0o755)
        while True:
            shutil.rmtree(TARGET, ignore_errors=True)
            try:
                temporary.rename(TARGET)
                return 0
            except OSError:
                # Another run put its stubs there in between: they are as good.
                if is_current():
                    return 0
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
