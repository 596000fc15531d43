"""Who may not relay, whatever is granted: addresses and whole networks, each until a time.

    denies           packed address                                                       -> until, u64
    denied_networks  length of the address (4 or 16), length of the prefix, first address -> until, u64

All u64 are big endian, Unix milliseconds; FOR_EVER_MS is without an end. The latest of all denials that hold an address counts. A look-up
costs one key for each prefix length that some network has: normally one or two.
"""

from syslogauth.environment import Environment, View
from syslogauth.record import U64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

Network = tuple[bytes, int]  # its first address, packed, and the length of its prefix


def until(view: View, address: bytes) -> int:
    """When the last denial of the address ends, Unix milliseconds; 0 where it was never denied."""
    latest = view.time("denies", address) if view.had("denies") else 0
    return max(latest, *(until_ms for _, until_ms in covering(view, address)), 0) if view.had("denied_networks") else latest


def of(view: View, address: bytes) -> "Iterator[tuple[Network, int]]":
    """The denial of the address itself, and of every network that holds it, and until when, Unix milliseconds."""
    if until_ms := view.time("denies", address):
        yield whole(address), until_ms
    yield from covering(view, address)


def covering(view: View, address: bytes) -> "Iterator[tuple[Network, int]]":
    """Every denied network that holds the address, and until when, Unix milliseconds."""
    if not view.had("denied_networks"):
        return
    size, number = len(address), int.from_bytes(address)
    with view.cursor("denied_networks") as cursor:
        prefix = 0
        while cursor.set_range(bytes((size, prefix))) and cursor.key()[0] == size:
            prefix = cursor.key()[1]
            shift = 8 * size - prefix
            first = (number >> shift << shift).to_bytes(size)
            if cursor.set_key(bytes((size, prefix)) + first):
                yield (first, prefix), U64.unpack(cursor.value())[0]
            prefix += 1


def put(view: View, network: Network, until_ms: int, now_ms: int) -> None:
    """Deny until then; a time that is not after now lifts the denial of exactly this network or address."""
    name, key = _place(network)
    if until_ms > now_ms:
        view.put(name, key, U64.pack(until_ms))
    else:
        view.delete(name, key)


def own(view: View, network: Network) -> int:
    """When the denial of exactly this network or address ends, Unix milliseconds; 0 where there is none."""
    return view.time(*_place(network))


def inside(environment: Environment, network: Network) -> "Iterator[bytes]":
    """The addresses of the network that the table has, and that may therefore have changed with a denial of it."""
    first, last = network[0], last_address(network)
    rows = (row for name in ("always", "grants") for row in environment.scan(name, first, last))
    return (address for address, _ in rows if len(address) == len(first))


def _place(network: Network) -> tuple[str, bytes]:
    first, prefix = network
    return ("denies", first) if network == whole(first) else ("denied_networks", bytes((len(first), prefix)) + first)


def last_address(network: Network) -> bytes:
    first, prefix = network
    return (int.from_bytes(first) | (1 << (8 * len(first) - prefix)) - 1).to_bytes(len(first))


def whole(address: bytes) -> Network:
    """An address as the network of itself alone."""
    return address, 8 * len(address)


def scan(environment: Environment) -> "Iterator[tuple[Network, int]]":
    """Every denial and until when, Unix milliseconds: the addresses, then the networks."""
    for address, until_ms in environment.scan("denies"):
        yield whole(address), U64.unpack(until_ms)[0]
    for key, until_ms in environment.scan("denied_networks"):
        yield (key[2:], key[1]), U64.unpack(until_ms)[0]
