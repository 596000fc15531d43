"""What looks like a login: the words of a success and an address, and none of a failure.

Not to be believed, only to be counted: a line of a known server that looks like a login and that no format takes is how an upgrade
that changes the log shows, before the customers do. A client can make a line look so; that costs a count.
"""

import re

# A part of the gate, too: cheap at every byte, and without capturing groups
SUCCESS = (
    rb"[Ll][Oo][Gg](?:ged|GED)?[ _.-]?(?:[Ii]n|[Oo]n|IN)|[Aa]uthentica|[Aa]uthori[sz]ed|[Aa]ccepted|[Ss]uccess|AUTH|"
    rb"[Ss]ession (?:open|start|began)"
)
LOOKED_AT = 200  # bytes of a text that are searched for it
_SUCCESS = re.compile(SUCCESS)
_GROUP = rb"[0-9A-Fa-f]{1,4}"
_ADDRESS = re.compile(
    rb"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.]*\d)|(?<!\w)(?:" + _GROUP + rb"::|::" + _GROUP + rb"|(?:" + _GROUP + rb":){4})"
)
FAILURE = re.compile(
    rb"(?i:fail|denied|den(?:y|ies)|reject|invalid|incorrect|wrong|unknown|error|-ERR|refused|disconnect|abort|badlogin|not found|no such|"
    rb"excessive|disabled|break-in|time.?out|mismatch|expired|unable|cannot|can't|illegal|attempt|logout|log(?:ged)? ?out|anonymous|probe|"
    rb"non-?existent|not allowed|preauthenticated|login to|bad (?:login|password|user)|too many|maximum|exceeded|locked|blocked|has UID)"
)


def looks_like_login(text: bytes) -> bool:
    return speaks_of_success(text) and names_address(text)


def speaks_of_success(text: bytes) -> bool:
    return bool(_SUCCESS.search(text, 0, LOOKED_AT)) and not FAILURE.search(text)


def names_address(text: bytes) -> bool:
    return bool(_ADDRESS.search(text))


def shape(text: bytes) -> str:
    """The text without what differs from login to login: numbers, addresses, names in brackets or quotes, and what follows `=`."""
    words = text[:SHAPED].decode("utf-8", "backslashreplace")
    for pattern, instead in _VARIABLE:
        words = pattern.sub(instead, words)
    return words[:SHOWN]


SHAPED, SHOWN = 512, 200  # bytes of the text, characters of its shape
_VARIABLE = tuple(
    (re.compile(pattern), instead)
    for pattern, instead in (
        (r"<[^<>]{0,320}>", "<...>"),
        (r'"[^"]{0,320}"', '"..."'),
        (r"[`'][^'`]{0,320}'", "'...'"),
        (r"(?<![\w:])\d{1,4}([:/-])\d\d\1\d\d(?![\w:])", "TIME"),
        (r"(?:\d{1,3}\.){3}\d{1,3}|(?<![\w.])[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{0,38}", "ADDRESS"),
        (r"(?<![\w.+-])[\w.+-]{1,64}@[\w.-]{1,255}", "NAME"),
        (r"=[^ ,;\[\]<\"']{1,320}", "=..."),
        (r"(?<![\w.-])\w[\w-]{0,62}(?:\.[\w-]{1,63}){0,8}\.[A-Za-z]{2,24}\.?(?=[\s\[\])>,]|$)", "HOST"),
        (
            r"\b([Uu]ser|USER|for|by|from|success)(:? )(?!['\"`(\[<*]|NAME|HOST|ADDRESS|(?:user|host|logged|has|was)\b)[^ ,:\]]{1,320}",
            r"\1\2NAME",
        ),
        (r"(?<![\w.-])(?!(?:\w{1,16}-)?(?:pop3|imap4)[sd]?(?:-login|:))(?=[\w.-]{0,64}\d)[\w.-]{1,320}", "N"),
        (r"(?<![\w=])(?!(?:from|at|by|client|success|authenticated)\b)\w[\w.+-]{0,63}(?=[ :(]ADDRESS)", "NAME"),
        (r"(?<=\[ADDRESS\] )(?!(?:from|at|on|to)\b)[\w.+-]{1,64}(?= )", "NAME"),
        (r"\[(?!\.\.\.|NAME|HOST|ADDRESS|N\])[\w.+-]{1,64}\]", "[NAME]"),
    )
)
