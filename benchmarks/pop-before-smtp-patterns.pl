#!/usr/bin/perl
# What pop-before-smtp 1.42 recognises, for a comparison: patterns of the same shapes as those its configuration offers, one a server or variant.
# As there, each is anchored at the line's start (time, host, tag), knows IPv4 only, and says nothing of how the line ends.
#   pop-before-smtp-patterns.pl < BLOCKS     a block is one line or the lines of one login, and ends with an empty line
# Prints a line for each block: NAME=ADDRESS for every pattern that finds a login in it, a blank between two. Joins by the pid alone.
use strict;
use warnings;

my $time = '^(?:\w\w\w +\d+ \d+:\d+:\d+)';
my $head = "$time \\S+ ";
my $ip = '[:f]*(\d+\.\d+\.\d+\.\d+)';
my $dovecot = "(?:imap|pop3)-login: Login: .+? rip=$ip";
my $stats = 'Stats: \S+ \d+ \d+ \d+ \d+ (?:\S+ )?';
my $qpopper = "\\(v[\\d.]+\\) POP login by user \"[^\"]+\" at \\(.+?\\) $ip";

my @patterns = (
    ['uw', "${head}(?:imaps?d?|ipop3s?d?)\\[\\d+\\]: (?:Login|Authenticated|Auth|APOP) user=\\S+ host=(?:\\S+ )?\\[$ip\\]"],
    ['uw/solaris', "${head}(?:imapd|ipop3d)\\[\\d+\\]: \\[ID \\d+ mail\\.info\\](?:Login|Authenticated|Auth) user=\\S+ host=(?:\\S+ )?\\[$ip\\]"],
    ['gnu', "${head}gnu-pop3d\\[\\d+\\]: User \\S+ logged in with mailbox \\S+ from $ip"],
    ['qpopper', "${head}(?:in\\.)?q?popper\\[\\d+\\]: $qpopper"],
    ['qpopper/own', "$time (?:\\d{4} )?\\[\\w+\\] $qpopper"],
    ['qpopper/stats', "${head}(?:in\\.)?q?popper\\[\\d+\\]: $stats$ip"],
    ['qpopper/3.0b29', "$time \\d{4} \\[\\d+\\] $stats$ip"],
    ['cyrus', "${head}(?:cyrus/)?(?:imap|pop3)[sd]*\\[\\d+\\]: login: \\S*\\s*\\[$ip\\] \\S+ \\S+ User logged in"],
    ['courier', "${head}(?:courier)?(?:imap|pop3)(?:d|login|-login)?(?:-ssl)?: LOGIN, user=.+?, ip=\\[$ip\\]"],
    ['vpopmail', "${head}vpopmail\\[\\d+\\]: vchkpw: login \\[\\S+\\] from $ip"],
    ['cucipop', "${head}cucipop\\[\\d+\\]: \\S+ $ip \\d+, \\d+ \\(\\d+\\), \\d+ \\(\\d+\\)"],
    ['vm-pop3d', "${head}vm-pop3d\\[\\d+\\]: User '.+?' logged in from $ip"],
    ['popa3d/patched', "${head}popa3d\\[\\d+\\]: Authentication passed for \\S+ -- \\[$ip\\]"],
    ['perdition', "${head}perdition\\S*\\[\\d+\\]: Auth: $ip(?::\\d+)?->\\S+ user=\"[^\"]*\" server=\"[^\"]*\" port=\"\\d+\" status=\"ok\""],
    ['solid-pop3d', "${head}spop3d\\[\\d+\\]: user \\S+ authenticated - $ip"],
    ['teapop', "${head}teapop\\[\\d+\\]: Successful login for .+? \\[$ip\\]"],
    ['dovecot', "${head}dovecot: $dovecot"],
    ['dovecot/own', "^dovecot: \\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d Info: $dovecot"],
    ['apple', "$time \\d{4} .*IMAP User \".+?\" log on successful from $ip"],
);
# name, lines of the login with their pid, the one with the address, the one that accepts; any other line of that pid ends it
my @joined = (
    ['popa3d', "${head}popa3d\\[(\\d+)\\]: ", "Session from $ip", 'Authentication passed for '],
    ['vm-pop3d/old', "${head}vm-pop3d\\[(\\d+)\\]: ", "Connect from $ip", "User '.+?' logged in"],
    ['solid-pop3d/plain', "${head}spop3d\\[(\\d+)\\]: ", "connect from $ip", 'user \S+ authenticated'],
);
$_->[1] = qr/$_->[1]/ for @patterns, @joined;

$| = 1;
local $/ = "";    # a block at a time
while (my $block = <STDIN>) {
    my (@found, %connected);
    for my $line (split /\n/, $block) {
        for my $known (@patterns) {
            push @found, "$known->[0]=$1" if $line =~ $known->[1];
        }
        for my $known (@joined) {
            my ($name, $process, $from, $accepted) = @$known;
            next unless $line =~ $process;
            my ($pid, $rest) = ($1, substr $line, $+[0]);
            if ($rest =~ /^$from/) { $connected{$name}{$pid} = $1 }
            elsif (my $address = delete $connected{$name}{$pid}) {
                push @found, "$name=$address" if $rest =~ /^$accepted/;
            }
        }
    }
    print "@found\n";
}
