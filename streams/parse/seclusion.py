"""Keeps a parsing process from the network and from other programs, whatever a document talks a library into."""

import ctypes
import os
import sys

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_REFUSED = frozenset(
    {
        "socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
        "socket.gethostbyname", "socket.gethostbyaddr", "urllib.Request", "subprocess.Popen", "os.system", "os.exec",
        "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty",
    }
)  # fmt: skip


def seclude() -> None:
    """From now on this process opens no connection and starts no program; on Linux, where the kernel allows it, it has
    no network at all. Cannot be undone.
    """
    _leave_network()
    sys.addaudithook(_refuse)


def _refuse(event: str, _arguments: tuple[object, ...]) -> None:
    if event in _REFUSED:
        raise PermissionError(f"{event} while parsing")


def _leave_network() -> None:
    """Into an empty network namespace; a machine that forbids it still has the audit hook."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.unshare(_CLONE_NEWNET if os.geteuid() == 0 else _CLONE_NEWNET | _CLONE_NEWUSER)
