#!/usr/bin/perl
# A loop of pop-before-smtp's shape over a whole log file: match a line against patterns with time and host, keep a hash of address to
# expiry and a queue of expiries, end what is over as the lines go by. It does not follow the log.
#   pop-before-smtp.pl PATTERNS FILE [DB]     PATTERNS: 1 (Dovecot's) or 5; prints how many lines were logins
# With DB, a name without its .db, it keeps that hash file as pop-before-smtp 1.42 does: locked, changed and synced for each new address.
use strict;
use warnings;
use Fcntl qw(:DEFAULT :flock);

my ($count, $file, $name) = @ARGV;
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

my (%db, $hash);
if (defined $name) {
    require DB_File;
    $hash = tie %db, 'DB_File', "$name.db", O_CREAT | O_RDWR, 0644, $DB_File::DB_HASH or die "$name.db: $!\n";
    open LOCK, '+<&=' . $hash->fd or die "$name.db: $!\n";
}

sub change {
    my ($client, $until) = @_;
    return unless $hash;
    flock LOCK, LOCK_EX;
    if ($until) { $db{$client} = 'ok' } else { delete $db{$client} }
    $hash->sync and die "$name.db: $!\n";
    flock LOCK, LOCK_UN;
}

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
            change($client, $until) unless exists $expires{$client};
            $expires{$client} = $until;
            last;
        }
    }
    while (@queue && $queue[-1][1] <= $now) {
        my ($client, $until) = @{pop @queue};
        if ($expires{$client} <= $until) {
            delete $expires{$client};
            change($client, 0);
        }
    }
}
print "$logins\n";
