"""Imports point one way: what decides knows nothing of what acts, and only the top knows every part."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import syslogauth

ROOT = Path(syslogauth.__file__).parent
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in ROOT.rglob("*.py")}

# A module or package may import those of the layers below its own, and none beside it.
LAYERS = (
    ("__main__",),
    ("cli",),
    ("doctor",),
    ("daemon",),
    ("children", "processes"),
    ("assembly", "receiver", "streams", "exporter", "child", "endpoint", "places", "notify"),
    ("pipeline", "connections", "following"),
    ("control", "maps", "roster", "listeners", "ledger", "committer", "vitals", "scrape"),
    ("table", "publish", "config", "metrics", "logs", "tidings"),
    ("merge", "nameless", "store"),
    ("backup", "importing", "limits", "sweep", "blocks", "maplock", "addresses", "agenda", "duty"),
    ("standing", "reading"),
    ("changelog", "denials", "grants", "holds", "positions", "settings", "exports", "certificates"),
    ("environment",),
    ("record", "where", "ownership"),
    ("core",),
    ("__init__",),
)
CORE_LAYERS = (
    ("intake",),
    ("lines",),
    ("judge", "gate", "usual", "batch", "tally"),
    ("formats", "policy", "linetime", "peers", "recent", "sessions", "refusals", "framing"),
    ("message", "address"),
    ("login",),
)
# "" is formats/__init__.py
FORMAT_LAYERS = (("nearest",), ("", "site"), ("check",), ("pattern", "a server's"), ("cost", "grammar", "looks"))

# The only place of each library that does I/O of its own.
HOMES = {
    "lmdb": {"environment", "changelog", "doctor.examine"},
    "rich": {"cli"},
    "shtab": {"cli.completion"},
    "asyncio_dgram": {"receiver", "listeners.udp"},
    "prometheus_client": {
        "daemon",
        "endpoint",
        "ledger",
        "vitals",
        "scrape",
    },  # not the children, which start faster without its HTTP servers
    "asyncio": {"daemon", "child", "children", "processes", "pipeline", "receiver", "connections", "streams", "listeners.udp", "cli"},
    "ssl": {"certificates", "connections", "listeners.tls"},
}

# What core may use of the standard library: nothing that opens, listens, waits, logs or asks for the time.
PURE = {
    **dict.fromkeys(
        ("collections.abc", "dataclasses", "difflib", "enum", "functools", "ipaddress", "itertools", "operator", "re", "typing")
    ),
    "collections": {"Counter", "OrderedDict"},
    "hashlib": {"blake2b"},
    "socket": {"AF_INET", "AF_INET6", "inet_ntop", "inet_pton"},
    "time": {"localtime", "mktime"},
    "datetime": {"datetime"},
}
ACTING = {"open", "print", "input", "exec", "eval", "compile", "__import__", "breakpoint"}


def imports(module: str) -> Iterator[tuple[str, str]]:
    """(module, name) of each import, wherever it stands in the file; name is empty for `import module`."""
    for node in ast.walk(ast.parse(MODULES[module].read_bytes())):
        if isinstance(node, ast.Import):
            yield from ((name.name, "") for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            yield from ((str(node.module), name.name) for name in node.names)


def ours(module: str) -> Iterator[str]:
    """The modules of syslogauth that a module imports, without the prefix."""
    for source, name in imports(module):
        if source.partition(".")[0] == "syslogauth":
            whole = f"{source}.{name}".removeprefix("syslogauth.")
            yield next((known for known in (whole, whole.rpartition(".")[0]) if known in MODULES), "__init__")


def depth(layers: tuple[tuple[str, ...], ...], part: str) -> int:
    [found] = [n for n, layer in enumerate(layers) if part in layer] or pytest.fail(f"{part} has no place in the layers: give it one")
    return found


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_from_the_layers_below_it(module: str) -> None:
    part = module.partition(".")[0] or "__init__"
    wrong = [
        imported
        for imported in ours(module)
        if (other := imported.partition(".")[0]) != part and depth(LAYERS, other) <= depth(LAYERS, part)
    ]
    assert not wrong


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name.startswith("core.")))
def test_core_imports_core_alone_and_downwards(module: str) -> None:
    part = module.split(".")[1]
    for imported in ours(module):
        package, _, rest = imported.partition(".")
        assert package == "core"
        assert rest.partition(".")[0] == part or depth(CORE_LAYERS, rest.partition(".")[0]) > depth(CORE_LAYERS, part), imported


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name.startswith("core.formats")))
def test_formats_import_formats_downwards(module: str) -> None:
    def layer(name: str) -> int:
        part = name.removeprefix("core.formats").removeprefix(".")
        return depth(FORMAT_LAYERS, part if any(part in layer for layer in FORMAT_LAYERS) else "a server's")

    wrong = [imported for imported in ours(module) if imported.startswith("core.formats") and layer(imported) <= layer(module)]
    assert not wrong


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name.split(".")[0] == "core"))
def test_core_does_no_input_or_output(module: str) -> None:
    tree = ast.parse(MODULES[module].read_bytes())
    modules = set()
    for source, name in imports(module):
        if source.partition(".")[0] != "syslogauth":
            assert source in PURE, f"imports {source}"
            allowed = PURE[source]
            assert allowed is None or not name or name in allowed, f"imports {source}.{name}"
            modules.add(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            allowed = PURE[node.value.id]
            assert allowed is None or node.attr in allowed | {"fromisoformat"}, f"uses {node.value.id}.{node.attr}"
        assert not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ACTING), ast.unparse(node)
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), ast.unparse(node)


@pytest.mark.parametrize("library", sorted(HOMES))
def test_a_library_that_acts_has_one_home(library: str) -> None:
    found = {name for name in MODULES if any(source.partition(".")[0] == library for source, _ in imports(name))}
    assert found
    assert {name for name in found if name not in HOMES[library] and name.partition(".")[0] not in HOMES[library]} == set()


def test_only_the_top_sees_the_whole_configuration() -> None:
    found = {name.partition(".")[0] for name in MODULES if "config" in ours(name)}
    assert found == {"daemon", "children", "assembly", "cli"}


def test_the_layers_name_only_what_there_is() -> None:
    known = {name.partition(".")[0] or "__init__" for name in MODULES}
    assert {part for layer in LAYERS for part in layer} <= known
    assert {part for layer in CORE_LAYERS for part in layer} == {name.split(".")[1] for name in MODULES if name.startswith("core.")}


@pytest.mark.parametrize("module", sorted(module for module in MODULES if module.startswith("core.")))
def test_no_group_is_possessive(module: str) -> None:
    """`(?:...)?+` matches wrongly in Python before 3.11.5, which Debian 12 has (CPython gh-106052); `[^ ]++` and `(?>...)` are right."""
    constants = [node.value for node in ast.walk(ast.parse(MODULES[module].read_bytes())) if isinstance(node, ast.Constant)]
    patterns = [text for text in constants if isinstance(text, bytes)]
    assert [] == [text for text in patterns if re.search(rb"[)}][?*+]?\+$|[)}][?*+]\+|\}\+", text)]
