#!/usr/bin/env python3
"""Checks which folder includes which: the layers point one way, no exceptions.

Reads every #include of our C++ files, and the third-party headers that only
some layers may see. Prints each breach and exits with 1 if there is any.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# A file belongs to the longest folder that holds it. "*" may see everything.
ALLOWED = {
    "base": {"base"},
    "graph": {"base", "graph"},
    "models": {"base", "models"},
    "models/snapshot": {"base", "models", "models/snapshot"},
    "models/decomposition": {
        "base", "models", "models/snapshot", "models/decomposition",
    },
    "models/text": {"base", "models", "models/text"},
    "models/train": {
        "base", "models", "models/snapshot", "models/decomposition",
        "models/text", "models/train",
    },
    "models/torch": {
        "base", "models", "models/snapshot", "models/decomposition",
        "models/train", "models/torch",
    },
    "models/demo": {
        "base", "models", "models/snapshot", "models/decomposition",
        "models/text", "models/torch", "models/demo",
    },
    "models/studies": {
        "base", "models", "models/snapshot", "models/decomposition", "models/torch",
        "models/train", "models/demo", "models/studies",
    },
    "server/schedule": {"base", "models", "server/schedule"},
    "server/search": {"base", "graph", "models", "server/schedule", "server/search"},
    "server/service": {
        "base", "graph", "models", "models/text", "server/search",
        "server/service", "spar/v1", "google/rpc",
    },
    "server/web": {"base", "models", "server/search", "server/service", "server/web"},
    "server": {"*"},
    "client": {"base", "client", "graph", "spar/v1", "google/rpc"},
    "bench": {"*"},
    "tests": {"*"},
}

GRPC_LAYERS = {"server/service", "server/web", "server", "client", "tests", "bench"}

# Third-party headers that only some folders may name.
RESTRICTED = {
    r"^(ATen|c10|torch)/": {
        "models/torch", "models/demo", "models/studies", "tests", "bench",
    },
    r"^grpc(pp|\+\+)?/": GRPC_LAYERS,
    r"^google/protobuf/": GRPC_LAYERS,
    r"^prometheus/": {"server/web", "server", "tests"},
}

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.MULTILINE)


def folder_of(path: pathlib.PurePosixPath) -> str | None:
    """The layer that holds a path relative to the root."""
    for parent in path.parents:
        if str(parent) in ALLOWED:
            return str(parent)
    return None


def layer_of_include(include: str) -> str | None:
    """The layer that an include names, or None for a third-party header."""
    for generated in ("spar/v1", "google/rpc"):
        if include.startswith(generated + "/"):
            return generated
    if (ROOT / include).is_file():
        return folder_of(pathlib.PurePosixPath(include))
    return None


def breaches(path: pathlib.Path) -> list[str]:
    """Sentences about the includes that `path` may not have."""
    relative = pathlib.PurePosixPath(path.relative_to(ROOT).as_posix())
    layer = folder_of(relative)
    if layer is None:
        return [f"{relative}: lies in no layer"]
    allowed = ALLOWED[layer]
    found = []
    for match in INCLUDE.finditer(path.read_text(encoding="utf-8")):
        include = match.group(2)
        target = layer_of_include(include)
        if target is not None:
            if "*" not in allowed and target not in allowed:
                found.append(f"{relative}: {layer} may not include {include}")
            continue
        if include.split("/")[0] in {"base", "graph", "models", "server", "client"}:
            found.append(f"{relative}: there is no {include}")
        for pattern, layers in RESTRICTED.items():
            if re.search(pattern, include) and layer not in layers:
                found.append(f"{relative}: {layer} may not include <{include}>")
    return found


def main() -> int:
    files = [
        path
        for folder in ("base", "graph", "models", "server", "client", "bench", "tests")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".h", ".cc")
    ]
    found = [breach for path in files for breach in breaches(path)]
    for breach in found:
        print(breach)
    print(f"check_layers: {len(files)} files, {len(found)} breaches")
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main())
