"""Compound files (the container of Outlook's messages) by hand, after MS-CFB version 3, in whole sectors."""

import struct
from collections.abc import Mapping
from typing import TypeAlias

Storage: TypeAlias = Mapping[str, "bytes | Storage"]

_SECTOR = 512
_SMALL = 4096
_NONE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD


def compound_file(root: Storage) -> bytes:
    """A compound file of these streams and storages; streams are padded to the size that needs no ministream."""
    entries: list[list[object]] = []
    sectors: list[bytes] = []
    chains: list[tuple[int, int]] = []

    def place(content: bytes) -> int:
        first = len(sectors)
        sectors.extend(content[at : at + _SECTOR].ljust(_SECTOR, b"\0") for at in range(0, len(content), _SECTOR))
        chains.append((first, len(sectors)))
        return first

    def add(name: str, content: bytes | Storage, kind: int) -> int:
        number = len(entries)
        entries.append([name, kind, _NONE, _NONE, _NONE, _END, 0])
        if isinstance(content, bytes):
            padded = content if len(content) >= _SMALL else content + _padding(name) * _SMALL
            padded = padded[: max(len(content), _SMALL)]
            entries[number][5:] = [place(padded), len(padded)]
        else:
            # A degenerate tree, each a right child of the one before, in the order the format sorts by.
            before = None
            for child in sorted(content, key=lambda one: (len(one), one.upper())):
                added = add(child, content[child], 2 if isinstance(content[child], bytes) else 1)
                entries[number if before is None else before][4 if before is None else 3] = added
                before = added
        return number

    add("Root Entry", root, 5)
    directory = place(b"".join(map(_entry, entries)).ljust(-(-len(entries) // 4) * _SECTOR, b"\0"))
    count = 1
    while count * 128 < len(sectors) + count:
        count += 1
    table = [_NONE] * (count * 128)
    for first, end in chains:
        for sector in range(first, end):
            table[sector] = sector + 1 if sector + 1 < end else _END
    own = list(range(len(sectors), len(sectors) + count))
    for sector in own:
        table[sector] = _FAT
    header = struct.pack(
        "<8s16xHHHHH6xIIIIIIIII", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0x3E, 3, 0xFFFE, 9, 6, 0, count, directory, 0,
        _SMALL, _END, 0, _END, 0,
    )  # fmt: skip
    header += struct.pack("<109I", *own, *[_NONE] * (109 - count))
    return header + b"".join(sectors) + struct.pack(f"<{len(table)}I", *table)


def _padding(name: str) -> bytes:
    return b"\0" if "properties" in name else (b"\n" if name.endswith("0102") else b" \0")


def _entry(entry: list[object]) -> bytes:
    name, kind, left, right, child, start, size = entry
    encoded = str(name).encode("utf-16-le")
    return struct.pack(
        "<64sHBBIII16xI16xIQ", encoded, len(encoded) + 2, kind, 1, left, right, child, 0, start, size
    )  # fmt: skip
