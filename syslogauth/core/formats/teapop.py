"""Teapop 0.3.

    Successful login for bob@example.org [192.0.2.1] from c1.example.net [192.0.2.25]

The first bracket is the server's own address (the virtual domain's), the last one the client's, behind its reverse DNS name, or `unknown`.
Nothing is escaped; a name is the rest of the USER line, of up to 254 bytes, blanks included. A session that ends in order logs

    bob@example.org [192.0.2.25] R1(2048) D0(0) L3(6144)         read, deleted, left: messages and bytes
"""

from syslogauth.core.formats.grammar import ADDRESS, PTR_NAME, Format, Kind, Line, Sample, whole

USER = rb"[^\x00-\x20\x7f\[\]]{1,510}"
COUNT = rb"\d{1,10}\(\d{1,20}\)"

FORMAT = Format(
    name="teapop",
    app_names=dict.fromkeys((b"teapop", b"teapop_ssl"), "pop3"),
    lines=(
        Line(
            Kind.LOGIN,
            whole(
                rb"Successful login for (?P<user>"
                + USER
                + rb") \[(?P<local_address>"
                + ADDRESS
                + rb")\] from "
                + PTR_NAME
                + rb" \[(?P<address>"
                + ADDRESS
                + rb")\]"
            ),
        ),
        Line(Kind.LOGOUT, whole(USER + rb" \[" + ADDRESS + rb"\] R" + COUNT + rb" D" + COUNT + rb" L" + COUNT)),
    ),
    begins=rb"Successful login for ",
    logout_begins=rb"(?>[^ ]{1,510}) \[(?>[0-9A-Fa-f:.]{2,45})\] R\d",
    others=rb"Failed login for |Three failed login|can't do reverse|tcp_wrappers|Caught SIG",
    ends="process",
    facility="local0",
    notes="Logs to facility local0: list it, and forward local0.info too.",
    samples=(
        Sample("teapop", "Successful login for bob [192.0.2.1] from c1.example.net [192.0.2.25]", "192.0.2.25", "bob", "pop3"),
        Sample(
            *("teapop", "Successful login for bob@example.org [192.0.2.1] from unknown [192.0.2.25]"),
            *("192.0.2.25", "bob@example.org", "pop3"),
        ),
        Sample("teapop_ssl", "Successful login for bob [::ffff:192.0.2.1] from unknown [::ffff:192.0.2.25]", "192.0.2.25", "bob", "pop3"),
        Sample("teapop", "Successful login for bob [2001:db8::1] from c1.example.net [2001:db8::10]", "2001:db8::10", "bob", "pop3"),
    ),
    logouts=(
        ("teapop", "bob [192.0.2.25] R0(0) D0(0) L0(0)"),
        ("teapop_ssl", "bob@example.org [2001:db8::10] R1(2048) D0(0) L3(6144)"),
    ),
    near_misses=(
        ("teapop", "Failed login for bob [192.0.2.1] from c1.example.net [192.0.2.25]"),
        ("teapop", "Three failed login attempts from c1.example.net [192.0.2.25] - Possible account probe"),
        ("teapop", "tcp_wrappers connection refused 192.0.2.25 c1.example.net "),
        # the name: of a failed login, and of one that was let in
        ("teapop", "Failed login for Successful login for a [1.1.1.1] from x [9.9.9.9] [192.0.2.1] from unknown [192.0.2.25]"),
        ("teapop", "Successful login for a [1.1.1.1] from x [9.9.9.9] [192.0.2.1] from unknown [192.0.2.25]"),
        ("teapop", "Successful login for a [9.9.9.9] [192.0.2.1] from unknown [192.0.2.25]"),
        ("teapop", "Successful login for a [1.1.1.1] from x [9.9.9.9] [192.0.2.25] R0(0) D0(0) L0(0)"),
        # the reverse DNS name
        ("teapop", "Successful login for bob [192.0.2.1] from x [9.9.9.9] [192.0.2.25]"),
        ("teapop", "Successful login for bob [192.0.2.1] from 9.9.9.9] [192.0.2.25]"),
        # addresses that are none, a line cut short, text after the end
        ("teapop", "Successful login for bob [192.0.2.1] from c1.example.net [999.0.2.25]"),
        ("teapop", "Successful login for bob [192.0.2.1] from c1.example.net [192.0.2.2"),
        ("teapop", "Successful login for bob [192.0.2.1]"),
        ("teapop", "Successful login for bob [192.0.2.1] from c1.example.net [192.0.2.25] and more"),
    ),
    sources=("Teapop 0.3.8 teapop/pop_auth.c, pop_socket.c, pop_dele.c, teapop.c, include/teapop.h",),
)
