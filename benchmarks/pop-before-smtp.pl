#!/usr/bin/perl
# A loop of pop-before-smtp's shape over a whole log file: match a line against patterns with time and host, keep a hash of address to
# expiry and a queue of expiries, end what is over as the lines go by. It keeps no DB file and does not follow the log.
#   pop-before-smtp.pl PATTERNS FILE      PATTERNS: 1 (Dovecot's) or 5; prints how many lines were logins
use strict;
use warnings;

my ($count, $file) = @ARGV;
my $head = '^(\w\w\w +\d+ \d+:\d+:\d+) \S+ ';
my $address = '(?:::ffff:)?([0-9a-f:]+|\d+\.\d+\.\d+\.\d+)';
my @patterns = map { qr/$head$_/ } (
    "dovecot: (?:imap|pop3)-login: (?:Login|Logged in): .*? rip=$address, ",
    "(?:imapd|ipop3d)\\[\\d+\\]: (?:Login|Authenticated|Auth|APOP) user=\\S+ host=(?:\\S+ )?\\[$address\\]",
    "qpopper\\[\\d+\\]: \\(v[\\d.]+\\) POP login by user \"[^\"]+\" at \\(.+\\) $address",
    "(?:pop3d|imapd)(?:-ssl)?: LOGIN, user=\\S+, ip=\\[$address\\]",
    "cyrus/(?:imap|pop3)\\[\\d+\\]: login: \\S* ?\\[$address\\] \\S+ \\S+ User logged in",
);
splice @patterns, $count;

my $grace = 1800;
my (%expires, @queue, $logins);
$logins = 0;
open my $log, '<', $file or die "$file: $!\n";
while (my $line = <$log>) {
    my $now = time;
    for my $pattern (@patterns) {
        if (my ($stamp, $client) = $line =~ $pattern) {
            $logins++;
            my $until = $now + $grace;
            unshift @queue, [$client, $until];
            $expires{$client} = $until;
            last;
        }
    }
    while (@queue && $queue[-1][1] <= $now) {
        my ($client, $until) = @{pop @queue};
        delete $expires{$client} if $expires{$client} <= $until;
    }
}
print "$logins\n";
