"""TLS over a TCP connection (RFC 5425): the handshake step by step, and whose certificate the peer has shown.

A Python socket with TLS reads a record at a time, and what it has not read waits in the kernel: no buffer of asyncio's, of 256 KiB for
each connection, lies between.
"""

import hashlib
import socket
import ssl
from collections.abc import Sequence
from typing import cast

from syslogauth.core.peers import Certified, holder
from syslogauth.listeners.stream import READ_BYTES, Ending, ending_of

MOST_SHOWN = 200  # characters of a certificate's names


def wrapped(sock: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
    """The socket, taken over, before its handshake. Raises OSError where the peer is gone already."""
    return context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)


def greet(sock: ssl.SSLSocket) -> tuple[Ending, str] | bool:
    """Go on with the handshake: whether it is done; or how it has ended, and in words why. Nothing is awaited but what the peer sends:
    the few KB of our part fit into the kernel's buffer."""
    try:
        sock.do_handshake()
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return False
    except ssl.SSLCertVerificationError as error:
        return Ending.CERTIFICATE, error.verify_message
    except ssl.SSLError as error:
        ending = Ending.CERTIFICATE if error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE" else Ending.HANDSHAKE
        return ending, error.reason or "closed by the peer"
    except OSError as error:
        return Ending.HANDSHAKE, error.strerror or "closed by the peer"
    return True


def holder_of(sock: ssl.SSLSocket, known: Sequence[Certified]) -> tuple[str | None, str]:
    """Whose the peer's certificate is, and what it names: its DNS subjectAltNames, for the common name is not asked, and its sum."""
    try:
        alternatives = (sock.getpeercert() or {}).get("subjectAltName", ())
    except (ValueError, ssl.SSLError):  # Python cannot read it: a name in Latin-1, say
        alternatives = ()
    names = [str(value) for kind, value in cast("Sequence[tuple[str, str]]", alternatives) if kind == "DNS"]
    fingerprint = hashlib.sha256(sock.getpeercert(binary_form=True) or b"").hexdigest()
    shown = ascii(", ".join(names)[:MOST_SHOWN])[1:-1] or "none"
    return holder(known, names, fingerprint), f"DNS names: {shown}; sha256:{fingerprint}"


def read(sock: socket.socket) -> bytes | Ending | None:
    """As that of stream.py."""
    try:
        return sock.recv(READ_BYTES)
    except ssl.SSLWantReadError:
        return None
    except ssl.SSLError:  # also one that wants to write: a peer that asks for an answer and does not read it
        return Ending.TLS
    except OSError as error:
        return ending_of(error)
