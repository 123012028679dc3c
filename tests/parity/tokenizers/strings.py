"""Strings that tokenizers disagree about, generated deterministically."""

import random

ENGLISH = """It was the best of times, it was the worst of times; it wasn't ours. They've
said "no" - we'll see, I'm sure he'd've done it. The U.S. spent $1,234,567.89 (3.5%) in 2024.
CamelCase snake_case kebab-case SCREAMING_CASE iPhone12 x86_64 e.g. i.e. Dr. O'Neill's 'tis 'TWAS
DON'T Don'T we'Ve WE'LL HE'D I'M it'S they'RE can't couldn't rock'n'roll""".split("\n")

CODE = [
    "def f(x):\n    return x ** 2  # square\n",
    "for (int i = 0; i < n; ++i) {\n\t\tsum += a[i]; // total\n}\n",
    "SELECT * FROM t WHERE a <> 'b' AND c IS NOT NULL;",
    "<div class=\"x\">&nbsp;</div>\r\n<!-- end -->\r\n\r\n",
    "{\"a\": [1, 2.5e-3, null], \"b\\n\": \"\\u00e9\"}",
    "if x:\n\n\n        pass\n    \n  \n\t\n",
    "https://example.org/a/b?c=d&e=%20f#g user@example.org /usr/local/bin ./../x",
    "x=1+2-3*4/5%6^7&8|9~!@#$%^&*()_+-=[]{};':\",./<>?`",
]

SCRIPTS = [
    "Съешь же ещё этих мягких французских булок", "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία",
    "דג סקרן שט בים מאוכזב ולפתע מצא לו חברה", "صِف خَلقَ خَودِ كَمِثلِ الشَمسِ ١٢٣٤٥",
    "ऋषियों को सताने वाले दुष्ट राक्षसों १२३", "নতুন বাংলা লেখা ৪৫৬", "ஒரு தமிழ் வாக்கியம்",
    "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า ๑๒๓", "ພາສາລາວ", "မြန်မာဘာသာ", "ខ្មែរ ០១២", "አማርኛ ፩፪፫",
    "我能吞下玻璃而不伤身体。２０２４年，", "私はガラスを食べられます。それは私を傷つけません。ｶﾞｷﾞ", "키스의 고유조건은 입술끼리 만나야 하고",
    "ქართული ენა", "Հայոց լեզու", "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ", "ᐃᓄᒃᑎᑐᑦ", "𐌰𐌱𐌲 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛", "Tiếng Việt rất đẹp và khó",
    "İstanbul'da ıĞ Ğüzel", "straße STRASSE ẞ ﬁne oﬃce ﬀ", "ǅ ǆ Ǆ ǈ ʰ ª º ⅷ Ⅷ ² ½ ① ⓐ ㊀ ㍿ ℃ Å Ω K",
]

EMOJI = [
    "😀😃😄", "👩‍👩‍👧‍👦 family", "👍🏽👍🏿 ok", "🇩🇪🇫🇷🇯🇵", "❤️‍🔥 ♥ ♥️", "1️⃣2️⃣#️⃣", "🏴󠁧󠁢󠁳󠁣󠁴󠁿 flag", "🤷🏻‍♀️🤷‍♂️",
    "text😀text 😀 text  😀", "🫠🪿🩷",
]

COMBINING = [
    "e\u0301e\u0300", "a\u0323\u0307 a\u0307\u0323", "\u0301start", "Z\u0351\u036b\u0343a\u0323l\u0308g\u0306o\u030b",
    "\u1100\u1161\u11a8 \uac00\u11a8", "A\u030a \u212b", "o\u0302\u0309 \u1ed5", "\u0f71\u0f72\u0f74 \u0f73\u0f75",
    "q\u0307\u0323\u0307\u0323", "\u0344 \u0340\u0341 \u0343", "\u2126 \u03a9 \u00b5 \u03bc", "\u0958 \u0915\u093c",
    "x" + "\u0301\u0316" * 40, "\u09c7\u09be \u0b47\u0b56", "\ufb1d \ufb2c \u05e9\u05bc\u05c1",
]

CONTROL = [
    "\x00", "a\x00b", "\x01\x02\x1f \x7f", "\x80\x85\x9f", "a\x85b", "\u00ad soft\u00adhyphen", "\u200b\u200c\u200d\u2060",
    "\ufeffbom", "\u202eright\u202c", "a\x0bb\x0cc\x1cd\x1de\x1ff", "\u180e \u1680 \u2003 \u2028 \u2029 \u202f \u205f \u3000",
    "\ufffd \ufffe \uffff", "\U0010ffff \ue000 \U000f0000", "\r\r\n\n\r", "\t\t \t", "\u00a0 \u00a0\u00a0x",
]

BYTES = [
    b"\xff", b"ok \xc3", b"\xe2\x82", b"\xe2\x82 x", b"\xf0\x9f\x98", b"\xf0\x9f\x98a", b"\xc0\x80", b"\xed\xa0\x80\xed\xb0\x80",
    b"\xf5\x80\x80\x80", b"\xf4\x90\x80\x80", b"\xe0\x80\x80", b"a\x80\x81b", b"\xfe\xfe\xff\xff", b"\xf8\x88\x80\x80\x80",
    b"caf\xe9 \xe9t\xe9", b"\xf0\x80\x80\x80 \xef\xbf", b"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41",
]

SPECIAL_PIECES = [
    "<|endoftext|>", "<s>", "</s>", "<unk>", "<pad>", "<|im_start|>", "<|im_end|>", "<tool>", "<mask>",
    "<word>", "NAME", "caf\u00e9", "cafe\u0301", "  ", "   ", "<|end", "oftext|>", "[UNK]",
]


def _spaces():
    for n in list(range(1, 34)) + [47, 64, 100, 255, 1000]:
        yield " " * n
        yield " " * n + "x"
        yield "x" + " " * n
        yield "x" + " " * n + "y"
        yield "\n" * n + "x" + "\t" * (n % 5)
        yield "\u2581" * (n % 7) + " " * (n % 3) + "a"


def _mixed(rng, pieces, count):
    joints = ["", "", " ", " ", "  ", "\n", "\n\n", "\t", "\r\n", ".", ", ", "'", "-", "\u00a0", "\u3000"]
    for _ in range(count):
        text = rng.choice(["", "", " ", "\n"])
        for _ in range(rng.randint(1, 6)):
            text += rng.choice(pieces) + rng.choice(joints)
        yield text


def _code_points(rng, count):
    blocks = [(0x20, 0x7f), (0xa0, 0x250), (0x250, 0x600), (0x600, 0xe00), (0xe00, 0x2000), (0x2000, 0x2c00),
              (0x2c00, 0xd800), (0xe000, 0x10000), (0x10000, 0x1fc00), (0x20000, 0x32400), (0xe0000, 0xe0200)]
    for _ in range(count):
        yield "".join(chr(rng.randrange(*rng.choice(blocks))) for _ in range(rng.randint(1, 12)))


def _any_bytes(rng, count):
    for _ in range(count):
        yield bytes(rng.choice([rng.randrange(256), rng.randrange(0xc0, 0x100), rng.randrange(0x80, 0xc0), 0x61, 0x20])
                    for _ in range(rng.randint(1, 24)))


def all_strings(book=""):
    """At least 2,000 byte strings, the same ones every time."""
    rng = random.Random(20)
    texts = [""] + ENGLISH + CODE + SCRIPTS + EMOJI + COMBINING + CONTROL + SPECIAL_PIECES
    words = [w for line in ENGLISH for w in line.split()]
    pieces = words + CODE + SCRIPTS + EMOJI + COMBINING + CONTROL
    texts += [" " + t for t in texts] + [t + " " for t in texts] + [t.upper() for t in ENGLISH]
    texts += list(_spaces())
    texts += list(_mixed(rng, pieces, 700))
    texts += list(_mixed(rng, words + SPECIAL_PIECES * 4, 500))
    texts += list(_code_points(rng, 500))
    texts += ["a" * 5000, "ab" * 2000, "\u00e9" * 1500, "1" * 1000, "!" * 700, "\n" * 500, "aA" * 300, "\u4e00" * 600]
    for _ in range(150 if book else 0):
        start = rng.randrange(max(1, len(book) - 400))
        texts.append(book[start:start + rng.randint(1, 400)])
    strings = [t.encode("utf-8", "surrogatepass") for t in texts]
    strings += BYTES + [b"x " + b + b" y" for b in BYTES] + list(_any_bytes(rng, 250))
    return strings


def every_code_point():
    """All assigned planes, each character beside a letter."""
    points = [c for c in range(0x34000) if not 0xd800 <= c < 0xe000] + list(range(0xe0000, 0xe0200))
    for start in range(0, len(points), 64):
        yield "".join("a" + chr(c) for c in points[start:start + 64]).encode()


def every_code_point_among_marks():
    """Each character of the first planes between marks of other classes, which it may change places with."""
    for start in range(0, 0x20000, 64):
        chunk = [chr(c) for c in range(start, start + 64) if not 0xd800 <= c < 0xe000]
        yield "".join("e\u0316" + c + "\u0323\u0301" for c in chunk).encode()
