"""A syslog receiver that turns POP/IMAP logins into a sendmail map of addresses that may relay for a while."""

__version__ = "0.1.0"
