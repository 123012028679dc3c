#!/usr/bin/env python3
"""Proves that every header compiles alone, with clang.

Headers of other projects that one of ours reaches anyway come from a precompiled
header, so that they are read once for all of ours that reach the same ones.

Usage: check_headers.py BUILD_FOLDER (one that has a compile_commands.json)
"""

import collections
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]', re.MULTILINE)
SHARED_BY = 3  # headers that pay for a precompiled one
WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wpedantic", "-Wthread-safety", "-Werror"]


def compiler_flags(build: pathlib.Path) -> list:
    """What the build defines and where it looks for headers, of all its sources.
    The system's own come first: LibTorch has another protobuf among its headers."""
    flags = {}  # in order, each once
    for entry in json.loads((build / "compile_commands.json").read_text()):
        words = iter(shlex.split(entry["command"]))
        for word in words:
            if word in ("-I", "-isystem"):
                flags["-idirafter", next(words)] = None
            elif word.startswith(("-D", "-I", "-std=")):
                flags[word,] = None
    return [word for flag in flags for word in flag]


def reached_by(header: str, includes: dict) -> frozenset:
    """Headers of other projects that one of ours includes, or ours that it does."""
    waiting, seen, reached = [header], {header}, set()
    while waiting:
        for name in includes[waiting.pop()]:
            if name not in includes:
                if "/" in name:
                    reached.add(name)
            elif name not in seen:
                seen.add(name)
                waiting.append(name)
    return frozenset(reached)


class Compiler:
    """Compiles texts, on top of precompiled headers where asked."""

    def __init__(self, build: pathlib.Path, folder: str):
        self._build = build
        self._folder = pathlib.Path(folder)
        self._words = ["clang++", *compiler_flags(build), *WARNINGS, "-O0", "-x"]

    def precompiled(self, base: frozenset, number: int) -> pathlib.Path:
        """A file that stands for the headers `base`; `number` is its own."""
        made = self._folder / f"{number}.pch"
        text = "".join(f"#include <{name}>\n" for name in sorted(base))
        errors = self._errors_of(text, ["c++-header", "-", "-o", str(made)])
        if errors:
            raise SystemExit(errors)
        return made

    def errors_alone(self, name: str, shared: pathlib.Path | None) -> str:
        """What the compiler says of the header alone; empty when nothing."""
        on_top = ["-include-pch", str(shared)] if shared else []
        return self._errors_of(f'#include "{name}"\n', ["c++", *on_top, "-fsyntax-only", "-"])

    def _errors_of(self, text: str, words: list) -> str:
        run = subprocess.run([*self._words, *words], input=text, cwd=self._build,
                             capture_output=True, text=True, check=False)
        return run.stderr if run.returncode else ""


def main() -> int:
    build = pathlib.Path(sys.argv[1]).resolve()
    names = subprocess.run(["git", "ls-files", "*.h"], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout.split()
    includes = {name: INCLUDE.findall((ROOT / name).read_text(encoding="utf-8"))
                for name in names}
    reached = {name: reached_by(name, includes) for name in names}
    bases = [base for base, uses in collections.Counter(reached.values()).items()
             if base and uses >= SHARED_BY]

    failed = 0
    with (tempfile.TemporaryDirectory() as folder,
          concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool):
        compiler = Compiler(build, folder)
        shared = dict(zip(bases, pool.map(compiler.precompiled, bases, range(len(bases)))))

        def errors_of(name: str) -> str:
            fitting = [base for base in bases if base <= reached[name]]
            return compiler.errors_alone(name, shared.get(max(fitting, key=len, default=None)))

        for name, errors in zip(names, pool.map(errors_of, names)):
            if errors:
                failed += 1
                print(f"{name} does not compile alone:\n{errors}")
    print(f"check_headers: {len(names)} headers, {failed} do not compile alone")
    return 1 if failed or not names else 0


if __name__ == "__main__":
    sys.exit(main())
