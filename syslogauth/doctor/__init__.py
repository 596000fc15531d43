"""What `syslogauth doctor` looks at: each file a subject, judging functions that take facts and give findings, and a `check` that gathers.

Nothing here changes anything: the one datagram of the round trip, and with --send one line through logger(1), carry our own app_name, which
never grants. What cannot be seen by this user, or without the daemon, is a WARN that says so, never an OK. Paths of system files lie below
`Site.root`. A file or program that cannot be read or run raises OSError, which checkup.py turns into a WARN.
"""
