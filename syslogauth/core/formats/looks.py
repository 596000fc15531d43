"""What looks like a login: the words of a success and an address, and none of a failure.

Not to be believed, only to be counted: a line of a known server that looks like a login and that no format takes is how an upgrade that changes the
log shows, before the customers do. A client can make a line look so; that costs a count.
"""

import re

SUCCESS = rb"[Ll][Oo][Gg](?:ged|GED)?[ -]?(?:[Ii]n|[Oo]n|IN)|[Aa]uthentica|[Aa]uthori[sz]ed|[Aa]ccepted|[Ss]uccess|AUTH"
_SUCCESS = re.compile(SUCCESS)
_ADDRESS = re.compile(rb"\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{1,4}:[0-9A-Fa-f:]{2,38}")
_FAILURE = re.compile(
    rb"(?i:fail|denied|den(?:y|ies)|reject|invalid|incorrect|wrong|unknown|error|-ERR|refused|disconnect|abort|badlogin|not found|no such|"
    rb"excessive|disabled|break-in|time.?out|mismatch|expired|unable|cannot|can't|illegal|attempt|logout|log(?:ged)? ?out|anonymous|probe)"
)


def looks_like_login(text: bytes) -> bool:
    return bool(_SUCCESS.search(text)) and bool(_ADDRESS.search(text)) and not _FAILURE.search(text)


def shape(text: bytes) -> str:
    """The text without what differs from login to login: numbers, addresses, names in brackets or quotes, and what follows `=`."""
    words = text.decode("utf-8", "backslashreplace")
    for pattern, instead in _VARIABLE:
        words = pattern.sub(instead, words)
    return words[:200]


_VARIABLE = tuple(
    (re.compile(pattern), instead)
    for pattern, instead in (
        (r"<[^<>]{0,320}>", "<...>"),
        (r'"[^"]{0,320}"', '"..."'),
        (r"[`'][^'`]{0,320}'", "'...'"),
        (r"(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?|(?<![\w:])[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]{1,38}[0-9A-Fa-f:.]*", "ADDRESS"),
        (r"\b[\w.+-]+@[\w.-]+\b", "NAME"),
        (r"=[^ ,;\[\]<\"']+", "=..."),
        (r"\b(?=[\w.-]*\d)[\w.-]+\b", "N"),
        (r"\b(user|for|User|USER) (?!['\"`(\[<])[^ ,]+", r"\1 NAME"),
    )
)
