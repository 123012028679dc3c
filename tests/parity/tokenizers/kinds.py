"""Small tokenizers of every kind that Spar reads, built by Hugging Face's library."""

import json
import os
import shutil

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers,
                        processors, trainers)
from transformers import AutoTokenizer

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]


def train_bpe(lines, split, specials=SPECIAL, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer = split
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=specials, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def byte_level(lines, pattern=None, normalizer=None, add_prefix_space=False, **model):
    levels = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=pattern is None)
    split = levels if pattern is None else pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated"), levels])
    tokenizer = train_bpe(lines, split, **model)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def gpt2(lines):
    return byte_level(lines)


def gpt_neox(lines):
    tokenizer = byte_level(lines, normalizer=normalizers.NFC())
    tokenizer.add_tokens([AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)])
    return tokenizer


def llama3(lines):
    tokenizer = byte_level(lines, LLAMA3, ignore_merges=True)
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing("<|im_start|> $A", special_tokens=[("<|im_start|>", 1)])])
    return tokenizer


def qwen2(lines):
    return byte_level(lines, QWEN2, normalizers.NFC())


def o200k(lines):
    return byte_level(lines, O200K)


def prefix_space(lines):
    return byte_level(lines, add_prefix_space=True)


def sentencepiece(lines, prepend, **options):
    """Llama-1 and -2: byte fallback, fused unknowns."""
    base = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    base.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=["<unk>", "<s>", "</s>"] + BYTE_TOKENS,
                                  show_progress=False)
    base.train_from_iterator(lines, trainer)
    state = json.loads(base.to_str())
    state["added_tokens"] = [t for t in state["added_tokens"] if t["content"] in ("<unk>", "<s>", "</s>")]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    strip = [decoders.Strip(" ", 1, 0)]
    if prepend:
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
        tokenizer.pre_tokenizer = None
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(**options)
        strip = [] if options.get("prepend_scheme") == "never" else strip
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()] + strip)
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def llama_prepend(lines):
    return sentencepiece(lines, prepend=True)


def llama_metaspace(lines):
    return sentencepiece(lines, prepend=False, prepend_scheme="always", split=True)


def llama_metaspace_first(lines):
    tokenizer = sentencepiece(lines, prepend=False, prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    return tokenizer


def gemma_like(lines):
    return sentencepiece(lines, prepend=False, prepend_scheme="never", split=False)


def unknowns(fuse):
    """A small alphabet, so that most characters are unknown."""
    def build(lines):
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=fuse, end_of_word_suffix="</w>",
                                         continuing_subword_prefix="##"))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        tokenizer.train_from_iterator(lines, trainers.BpeTrainer(
            vocab_size=600, special_tokens=["<unk>"], show_progress=False, end_of_word_suffix="</w>",
            continuing_subword_prefix="##"))
        tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
        return tokenizer
    return build


def word_level(split):
    def build(lines):
        tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
        tokenizer.pre_tokenizer = split
        tokenizer.train_from_iterator(lines, trainers.WordLevelTrainer(
            vocab_size=800, special_tokens=["[UNK]", "<s>", "</s>"], show_progress=False))
        tokenizer.post_processor = processors.TemplateProcessing(
            "<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
        return tokenizer
    return build


def added_tokens(lines):
    tokenizer = byte_level(lines, normalizer=normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()]))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True),
                                  AddedToken("<pad>", rstrip=True, special=True)])
    tokenizer.add_tokens([AddedToken("NAME", normalized=True), AddedToken("caf\u00e9", normalized=True),
                          AddedToken("<word>", single_word=True, normalized=False),
                          AddedToken("it", single_word=True, lstrip=True, rstrip=True, normalized=False),
                          AddedToken("<tool>", normalized=False)])
    return tokenizer


def normalized(form):
    def build(lines):
        return byte_level(lines, normalizer=normalizers.Sequence([form, normalizers.Strip()]))
    return build


def replaced(lines):
    return byte_level(lines, normalizer=normalizers.Sequence([
        normalizers.Replace(Regex(r"\s{2,}"), " "), normalizers.Replace("'", "\u2019"),
        normalizers.Replace(Regex(r"(?i)\bthe\b|x+"), "~")]))


def split(*parts):
    def build(lines):
        levels = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer = train_bpe(lines, pre_tokenizers.Sequence(list(parts) + [levels]))
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer
    return build


def cut(pattern, behavior, invert=False):
    return pre_tokenizers.Split(pattern, behavior, invert)


KINDS = {
    "gpt2": gpt2, "gpt_neox": gpt_neox, "llama3": llama3, "qwen2": qwen2, "o200k": o200k,
    "prefix_space": prefix_space, "llama_prepend": llama_prepend, "llama_metaspace": llama_metaspace,
    "llama_metaspace_first": llama_metaspace_first, "gemma_like": gemma_like,
    "unknown_fused": unknowns(True), "unknown_single": unknowns(False),
    "words_whitespace": word_level(pre_tokenizers.Whitespace()),
    "words_split": word_level(pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(), pre_tokenizers.Digits(True)])),
    "added_tokens": added_tokens,
    "nfd": normalized(normalizers.NFD()), "nfkc": normalized(normalizers.NFKC()), "nfkd": normalized(normalizers.NFKD()),
    "replaced": replaced,
    "split_digits": split(pre_tokenizers.Digits(False), pre_tokenizers.Punctuation("contiguous")),
    "split_previous": split(cut(" ", "merged_with_previous"), cut(Regex(r"[\w']+"), "isolated", True)),
    "split_next": split(cut(Regex(r"[aeiou\n]"), "merged_with_next")),
    "split_contiguous": split(cut(Regex(r"\s|\p{P}"), "contiguous"), cut(Regex(r"\d*"), "isolated")),
    "split_removed": split(cut(Regex(r"\S+"), "removed", True), cut("e", "removed")),
    "split_cased": split(cut(Regex(r"(?i:[a-m]++)(?!\p{Lu})|\p{^L}{2,3}?|(?<=\w)\W|\B."), "isolated")),
}


def members(part):
    """Bytes as ids, after a part that drops the members of a set of characters."""
    def build(_lines):
        levels = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
        if isinstance(part, normalizers.Normalizer):
            tokenizer.normalizer, tokenizer.pre_tokenizer = part, levels
        else:
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence([part, levels])
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer
    return build


# Checked on every code point.
SETS = {f"set {regex}": members(cut(Regex(regex), "removed")) for regex in [
    r"\p{L}", r"\p{N}", r"\p{M}", r"\p{P}", r"\p{S}", r"\s", r"\w", r"\d", r"\p{Lu}", r"\p{Ll}", r"\p{Lo}", r"\p{Lm}",
    r"\p{Lt}", r"[^\s\p{L}\p{N}]", r"\P{L}", r"\W", r"\S", r"[\w]", r"[^\w\s]", r"[\d\s]", r"(?i:[a-z])"]}
SETS |= {
    "set punctuation": members(pre_tokenizers.Punctuation("removed")),
    "set whitespace": members(pre_tokenizers.WhitespaceSplit()),
    "set nfc": members(normalizers.NFC()), "set nfd": members(normalizers.NFD()),
    "set nfkc": members(normalizers.NFKC()), "set nfkd": members(normalizers.NFKD()),
    "set lowercase": members(normalizers.Lowercase()),
}


def save_gpt2_pair(folder, source):
    """The real GPT-2 files, and the library's tokenizer made from them."""
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(os.path.join(source, name), os.path.join(folder, name))
    model = models.BPE.from_file(os.path.join(folder, "vocab.json"), os.path.join(folder, "merges.txt"))
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


def save_pair(build, config):
    """A tokenizer as vocab.json and merges.txt, and what `transformers` makes of the folder."""
    def save(folder, lines):
        build(lines).model.save(folder)
        for name, content in (("tokenizer_config.json", config), ("config.json", {"model_type": "gpt2"})):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
                json.dump(content, out)
        return AutoTokenizer.from_pretrained(folder).backend_tokenizer
    return save


PAIRS = {
    "qwen2_pair": save_pair(qwen2, {
        "tokenizer_class": "Qwen2Tokenizer",
        "added_tokens_decoder": {"1": {"content": "<|im_start|>", "special": True},
                                 "2": {"content": "<|im_end|>", "special": True}}}),
    "gpt2_pair_bos": save_pair(gpt2, {
        "tokenizer_class": "GPT2Tokenizer", "add_bos_token": True, "bos_token": "<|endoftext|>"}),
    "gpt2_pair_prefix": save_pair(gpt2, {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True}),
}
