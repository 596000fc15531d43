"""Client addresses as 4 or 16 packed bytes, and sets of networks over them.

An address is read by inet_pton alone: it refuses `0x7f.1`, `010.0.0.1` and `192.168.123`, which inet_aton takes. An IPv4-mapped
IPv6 address (`::ffff:192.0.2.1`) is folded to IPv4, because that is the address that sendmail looks up for such a client.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

REMEMBERED_ADDRESSES = 16384
MAPPED = b"\0" * 10 + b"\xff\xff"


def pack(text: str) -> bytes | None:
    """4 or 16 bytes of a dotted quad or an IPv6 address without a zone; None where it is neither."""
    try:
        if ":" not in text:
            return inet_pton(AF_INET, text)
        packed = inet_pton(AF_INET6, text)
    except (OSError, ValueError):
        return None
    return packed[12:] if packed.startswith(MAPPED) else packed


def canonical(address: bytes) -> str:
    """The text of a packed address as inet_ntop writes it."""
    return inet_ntop(AF_INET if len(address) == 4 else AF_INET6, address)


class Networks:
    """A set of networks, asked for packed addresses. Raises ValueError on a text that is no network.

    Networks are kept by length of the address and host bits, narrowest first: a look-up costs one dict access for each prefix length. The
    last answers are remembered, for the same clients come again and again.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.texts = tuple(texts)
        by_size: dict[int, dict[int, dict[int, str]]] = {4: {}, 16: {}}
        for text in self.texts:
            network = ipaddress.ip_network(text)
            bits, length = network.max_prefixlen, network.prefixlen
            first = int(network.network_address)
            if bits == 128 and length >= 96 and first >> 32 == 0xFFFF:
                bits, length, first = 32, length - 96, first & 0xFFFFFFFF
            by_size[bits // 8].setdefault(bits - length, {})[first >> (bits - length)] = text
        self._by_size = {size: sorted(names.items()) for size, names in by_size.items()}
        self._remembered = lru_cache(REMEMBERED_ADDRESSES)(self._find)

    def find(self, address: bytes) -> str | None:
        """The text of the narrowest network that holds the address, as it was configured."""
        return self._remembered(address)

    def _find(self, address: bytes) -> str | None:
        number = int.from_bytes(address)
        for shift, names in self._by_size[len(address)]:
            if (name := names.get(number >> shift)) is not None:
                return name
        return None

    def __contains__(self, address: bytes) -> bool:
        return self._remembered(address) is not None


# No mail client connects from these, whatever a line says: RFC 1122 3.2.1.3, RFC 5771, RFC 1112 4, RFC 3927, RFC 4291 2.5.2, 2.5.6, 2.7.
UNUSABLE = Networks(("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "::/128", "fe80::/10", "ff00::/8"))
