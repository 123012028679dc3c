"""Compares Spar's tokenizers with Hugging Face's library, kind by kind.

Usage: tokenizer_parity.py PROBE [KIND ...]

For every kind and string: equal ids, equal ids with special tokens read as plain text, and equal
decoded texts with and without special tokens; and where the tokenizer loses nothing, the text itself.
"""

import os
import struct
import subprocess
import sys
import tempfile

import kinds
import strings

LOSSLESS = {"gpt2", "llama3", "o200k", "gpt2_files", "split_digits", "split_next", "split_cased", "split_contiguous"}


def test_data(name):
    root = os.environ.get("SPAR_TEST_DATA") or os.path.join(
        os.path.dirname(__file__), "..", "..", "..", "..", "shared", "data")
    path = os.path.join(root, name)
    return path if os.path.exists(path) else None


class Results:
    """What the probe wrote, read in order."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self):
        value, = struct.unpack_from("<i", self.data, self.at)
        self.at += 4
        return value

    def string(self):
        size = self.number()
        self.at += size
        return self.data[self.at - size:self.at]

    def ids(self):
        count = self.number()
        if count < 0:
            return self.string().decode()
        self.at += 4 * count
        return list(struct.unpack_from(f"<{count}i", self.data, self.at - 4 * count))


def expected(tokenizer, text):
    tokenizer.encode_special_tokens = False
    ids = tokenizer.encode(text).ids
    tokenizer.encode_special_tokens = True
    plain = tokenizer.encode(text, add_special_tokens=False).ids
    return ids, plain, tokenizer.decode(ids, skip_special_tokens=False), tokenizer.decode(ids, skip_special_tokens=True)


def compare(probe, kind, tokenizer, folder, cases):
    strings_path, results_path = os.path.join(folder, "strings"), os.path.join(folder, "results")
    with open(strings_path, "wb") as out:
        for case in cases:
            out.write(struct.pack("<I", len(case)) + case)
    subprocess.run([probe, folder, strings_path, results_path], check=True)
    with open(results_path, "rb") as results_file:
        results = Results(results_file.read())
    wrong = 0
    for case in cases:
        text = case.decode("utf-8", "replace")
        got = (results.ids(), results.ids(), results.string().decode(), results.string().decode())
        want = expected(tokenizer, text)
        if kind in LOSSLESS:
            got, want = got + (got[2],), want + (text,)
            if tokenizer.post_processor is not None and kind == "llama3":
                got, want = got[:4] + (got[2].removeprefix("<|im_start|>"),), want
        if got != want:
            wrong += 1
            if wrong <= 3:
                print(f"{kind}: {text!a:.300}\n  got  {str(got)[:600]!a}\n  want {str(want)[:600]!a}")
    print(f"{kind}: {len(cases) - wrong} of {len(cases)} strings agree")
    return wrong


def main():
    probe, chosen = sys.argv[1], sys.argv[2:]
    book_path = test_data("tinyshakespeare.txt")
    book = ""
    if book_path:
        with open(book_path, encoding="utf-8") as book_file:
            book = book_file.read()
    cases = strings.all_strings(book)
    assert len(cases) >= 2000, len(cases)
    lines = (book[:200000].splitlines() or strings.ENGLISH * 20) + strings.SCRIPTS * 3 + strings.CODE * 5
    wrong = 0
    points = list(strings.every_code_point())
    marked = points + list(strings.every_code_point_among_marks())
    cases_of = {kind: cases for kind in kinds.KINDS} | {kind: points for kind in kinds.SETS}
    cases_of |= {kind: marked for kind in kinds.SETS if kind.startswith("set nf")}
    for kind, build in (kinds.KINDS | kinds.SETS).items():
        if chosen and kind not in chosen:
            continue
        with tempfile.TemporaryDirectory() as folder:
            tokenizer = build(lines)
            tokenizer.save(os.path.join(folder, "tokenizer.json"))
            wrong += compare(probe, kind, tokenizer, folder, cases_of[kind])
    for kind, save in kinds.PAIRS.items():
        if chosen and kind not in chosen:
            continue
        with tempfile.TemporaryDirectory() as folder:
            wrong += compare(probe, kind, save(folder, lines), folder, cases)
    gpt2_files = test_data("gpt2-tokenizer")
    if gpt2_files and (not chosen or "gpt2_files" in chosen):
        with tempfile.TemporaryDirectory() as folder:
            tokenizer = kinds.save_gpt2_pair(folder, gpt2_files)
            wrong += compare(probe, "gpt2_files", tokenizer, folder, cases)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
