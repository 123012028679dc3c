#!/usr/bin/env python3
"""Proves that every header compiles alone.

A header that a source file, compiled by itself, includes before anything else
has been compiled alone by the build. Every other one is compiled here, with the
flags of a source file of its folder and through the compiler cache.

Usage: check_headers.py BUILD_FOLDER (one that has a compile_commands.json)
"""

import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIRST_DIRECTIVE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]', re.MULTILINE)


def sources_of(build: pathlib.Path) -> list:
    """Our source files that the build compiles, with their commands."""
    entries = json.loads((build / "compile_commands.json").read_text())
    return [(pathlib.Path(e["file"]), e) for e in entries
            if ROOT in pathlib.Path(e["file"]).parents]


def included_first(build: pathlib.Path) -> set:
    """Headers that a source file of the build includes before anything else."""
    first = set()
    for source, _ in sources_of(build):
        match = FIRST_DIRECTIVE.search(source.read_text(encoding="utf-8"))
        if match:
            first.add(ROOT / match.group(1))
    return first


def folder_of(source: pathlib.Path, build: pathlib.Path) -> pathlib.Path:
    """The source's folder; of many files compiled as one, theirs."""
    if source.parent.name != "united":
        return source.parent
    return ROOT / source.parent.parent.relative_to(build.resolve())


def flags_by_folder(build: pathlib.Path) -> dict:
    """Folder -> (compiler and flags, working folder) of the source with the most:
    the one that sees the most libraries."""
    flags = {}
    for source, entry in sources_of(build):
        kept = []
        words = iter(shlex.split(entry["command"]))
        for word in words:
            if word in ("-o", "-c", "-MF", "-MT"):
                next(words)
            elif word != "-MD":
                kept.append(word)
        folder = folder_of(source, build)
        if folder not in flags or len(kept) > len(flags[folder][0]):
            flags[folder] = (kept, entry["directory"])
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


def errors_of(header: pathlib.Path, flags: dict, build: pathlib.Path) -> str:
    """What the compiler says of the header alone; empty when nothing."""
    name = header.relative_to(ROOT)
    words, folder = flags_for(header, flags)
    alone = build.resolve() / "headers" / f"{name}.cc"
    alone.parent.mkdir(parents=True, exist_ok=True)
    alone.write_text(f'#include "{name}"\n')
    ccache = shutil.which("ccache")
    run = subprocess.run([*([ccache] if ccache else []), *words, "-O0",
                          "-c", str(alone), "-o", f"{alone}.o"],
                         cwd=folder, capture_output=True, text=True, check=False)
    return run.stderr if run.returncode else ""


def main() -> int:
    build = pathlib.Path(sys.argv[1])
    flags = flags_by_folder(build)
    proved = included_first(build)
    listed = subprocess.run(["git", "ls-files", "*.h"], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout.split()
    headers = [ROOT / name for name in listed if ROOT / name not in proved]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for header, errors in zip(
                headers, pool.map(lambda h: errors_of(h, flags, build), headers)):
            if errors:
                failed += 1
                print(f"{header.relative_to(ROOT)} does not compile alone:\n{errors}")
    print(f"check_headers: {len(listed)} headers, {len(headers)} of them compiled "
          f"here, {failed} do not compile alone")
    return 1 if failed or not listed else 0


if __name__ == "__main__":
    sys.exit(main())
