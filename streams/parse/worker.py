"""The process that parses: `python -m streams.parse.worker PARENT_PID MEMORY_MB LIMITS KINDS...`.

KINDS of personal data are those it should be ready to look for; each request says for which it does.
Requests on standard input, answers on standard output, nothing else, ever: no connection, no process. It ends with its
parent, ignores Ctrl-C, and keeps to its memory; what it dies of, it says on standard error, where nothing else goes.
"""

import ctypes
import gc
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from schemas.errors import PermanentError, UnreadableError
from schemas.redaction import Kind
from streams.parse import wire
from streams.parse.document import read_document
from streams.parse.limits import Limits
from streams.parse.seclusion import seclude
from streams.redact.find import sighted, warm_up

_PR_SET_PDEATHSIG = 1
_STANDARD_ERROR = 2
_WARM_UP = (
    (b"<html><body><h1>A</h1><p>One sentence. Two.</p><table><tr><td>a</td><td>b</td></tr></table>", "a.html"),
    (b"# A\n\nOne sentence. Two.\n\n- item\n", "a.md"),
    (b"A title\n\nOne sentence. Two.\n", "a.txt"),
)


def main() -> None:
    """Serve until standard input ends."""
    parent, memory_mb, limits = int(sys.argv[1]), int(sys.argv[2]), Limits.from_argument(sys.argv[3])
    seclude()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with(parent)
    requests, answers = _private_pipes()
    for body, name in _WARM_UP:
        read_document(body, None, name)
    warm_up(tuple(Kind(kind) for kind in sys.argv[4:]))
    # A hundred thousand objects that stay for ever: looking through them took a tenth of the time.
    gc.collect()
    gc.freeze()
    _limit_memory(memory_mb)
    _send(answers, wire.READY)
    try:
        _serve(requests, answers, limits)
    except MemoryError:
        os.write(_STANDARD_ERROR, wire.OUT_OF_MEMORY[0])
        sys.exit(1)


def _serve(requests: BinaryIO, answers: BinaryIO, limits: Limits) -> None:
    while head := requests.read(wire.LENGTH.size):
        (length,) = wire.LENGTH.unpack(head)
        _send(answers, _answer(requests.read(length), limits))


def _answer(message: bytes, limits: Limits) -> bytes:
    """Parse one document and look for personal data; what goes wrong is said in a word, never with its text."""
    request = wire.decode_request(message)
    with suppress(MemoryError):
        return _read(request, limits)
    # Only here are the frames gone that held all the memory there was: an answer made before would find none.
    return wire.encode_error(wire.out_of_memory())


def _read(request: wire.Request, limits: Limits) -> bytes:
    """Raises MemoryError."""
    try:
        document = read_document(request.body, request.content_type, request.name, limits)
        return wire.encode_document(sighted(document, request.search))
    except PermanentError as error:
        return wire.encode_error(error)
    except MemoryError:
        raise
    except RecursionError:
        return wire.encode_error(UnreadableError("the document is nested too deeply", reason="too_deep"))
    except Exception as error:  # noqa: BLE001 - parsers raise anything; this is the process's one outermost net
        return wire.encode_error(UnreadableError(f"the parser failed with {type(error).__name__}"))


def _send(answers: BinaryIO, message: bytes) -> None:
    answers.write(wire.framed(message))
    answers.flush()


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Take the pipes away from standard input and output, so that no library reads or prints into them; nor does a
    warning reach standard error.
    """
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    sys.stderr = os.fdopen(nothing, "w")
    return requests, answers


def _die_with(parent: int) -> None:
    """Be killed when the parent dies, even in a parse (Linux); elsewhere the end of the pipe is noticed after it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(1)


def _limit_memory(megabytes: int) -> None:
    """Allow so much address space above what is in use now, where the system can tell."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        in_use = int(statm.read_text().split()[0]) * resource.getpagesize()
        limit = in_use + megabytes * 1024 * 1024
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main()
