"""Texts that are hard to cut to a number of tokens: no spaces, no sentences, more pieces than letters."""

NASTY = {
    "chinese": "泵每季度由两名工程师维修。" * 300,
    "korean": "펌프는 분기마다 두 명의 엔지니어가 정비합니다 " * 200,
    "korean without spaces": "펌프는분기마다" * 400,
    "thai": "ปั๊มได้รับการบำรุงรักษาทุกไตรมาส" * 200,
    "emoji": "👩‍🔧🚰🔧" * 800,
    "one word": "x" * 100_000,
    "words of 99 letters": ("qwzx" * 25)[:99] + " " + ("vkjq" * 25)[:99] + " " + "y" * 3000,
    "hex": "deadbeef0123456789" * 500,
    "accents": "e\u0301a\u0308o\u0323" * 900,
    "punctuation": "!?.," * 2000,
    "special tokens": "[SEP] [CLS] [MASK] " * 500,
    "code": "\n".join(f"    x_{n} = f(y[{n}], **{{'k': {n}}})" for n in range(300)),
    "spaces": "a" + " " * 20_000 + "b",
    "russian": "Насос обслуживается каждый квартал. " * 200,
    "german": "Die Straßenbahnhaltestelle wird geprüft. " * 200,
    "base64": ("aGVsbG8gd29ybGQgdGhpcyBpcyBiYXNl" * 40 + "\n") * 20,
}
