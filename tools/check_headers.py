#!/usr/bin/env python3
"""Compiles every header alone, with the flags of a source file of its folder.

Usage: check_headers.py BUILD_FOLDER (one that has a compile_commands.json)
"""

import concurrent.futures
import json
import os
import pathlib
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def flags_by_folder(build: pathlib.Path) -> dict:
    """Folder -> (compiler and flags, working folder) of one of its sources."""
    flags = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        source = pathlib.Path(entry["file"])
        if ROOT not in source.parents:
            continue
        words = shlex.split(entry["command"])
        if words[0].endswith("ccache"):
            words = words[1:]
        kept = []
        skip = False
        for word in words:
            if skip or word in ("-o", "-c"):
                skip = word in ("-o", "-c")
                continue
            kept.append(word)
        flags.setdefault(source.parent, (kept, entry["directory"]))
    return flags


def flags_for(header: pathlib.Path, flags: dict):
    """The flags of the header's folder, else of the nearest one below or above."""
    for folder in header.parents:
        if folder in flags:
            return flags[folder]
        for known in flags:
            if folder in known.parents and folder != ROOT:
                return flags[known]
    raise SystemExit(f"no compile command fits {header}")


def errors_of(header: pathlib.Path, flags: dict) -> str:
    """What the compiler says of the header alone; empty when nothing."""
    words, folder = flags_for(header, flags)
    run = subprocess.run(
        [*words, "-fsyntax-only", "-x", "c++", "-include", str(header), os.devnull],
        cwd=folder, capture_output=True, text=True, check=False)
    return run.stderr if run.returncode else ""


def main() -> int:
    flags = flags_by_folder(pathlib.Path(sys.argv[1]))
    listed = subprocess.run(["git", "ls-files", "*.h"], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout.split()
    headers = [ROOT / name for name in listed]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for header, errors in zip(
                headers, pool.map(lambda h: errors_of(h, flags), headers)):
            if errors:
                failed += 1
                print(f"{header.relative_to(ROOT)} does not compile alone:\n{errors}")
    print(f"check_headers: {len(headers)} headers, {failed} do not compile alone")
    return 1 if failed or not headers else 0


if __name__ == "__main__":
    sys.exit(main())
