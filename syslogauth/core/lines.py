"""Lines of log files, as they would be judged when they were written: each at the time of its own stamp (law 4). Nothing is counted here.

A line has no peer but its file, and no <PRI> is asked for; otherwise it goes the way of a datagram (intake.py), past a gate of its own.
`time_of` gives the line's time for its stamp. `escaped`: the syslogd that wrote the file escapes line feeds; otherwise formats of servers
that do not are off.
"""

from collections.abc import Callable, Iterator

from syslogauth.core.batch import Batch
from syslogauth.core.gate import line_gate_pattern
from syslogauth.core.judge import Judge, Verdict
from syslogauth.core.login import Refusal
from syslogauth.core.message import Message, parse
from syslogauth.core.peers import Peer, file_peer
from syslogauth.core.usual import usual_login

TimeOf = Callable[[bytes], float]


class LineReader:
    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._gate = line_gate_pattern(judge.recogniser, logouts=judge.policy.holds).match
        self._usual, self._read_usual = usual_login(judge.recogniser, None)

    def judge(self, line: bytes, time_of: TimeOf, *, escaped: bool) -> Verdict:
        """What one line becomes, without the gate."""
        message = parse(line, needs_priority=False)
        return self._judge.judge(message, file_peer("", escaped), time_of(_stamp(message)))

    def judge_all(self, batch: Batch, time_of: TimeOf, *, escaped: bool) -> Iterator[tuple[int, Verdict]]:
        """The same for many lines, by their number in the batch. Those that are not given are noise: NOT_LOGIN."""
        return self.judge_those_of(file_peer("", escaped), batch, time_of)

    def judge_those_of(self, peer: Peer, batch: Batch, time_of: TimeOf) -> Iterator[tuple[int, Verdict]]:
        """The same for those of a file that is followed."""
        judge, seen, attentive = self._judge, 0, self._judge.recent.hosts
        for number in (*batch.suspects(self._gate), len(batch)):
            for noise in range(seen, number) if peer.host in attentive else ():
                message = parse(batch.datagram(noise), needs_priority=False)
                judge.recent.came(peer.host, message, time_of(_stamp(message)))
            if number == len(batch):
                return
            verdict = None
            if found := batch.found(self._usual, number):
                verdict = judge.judge_usual(self._read_usual(found), found, peer, time_of(found["stamp"]))
            if verdict is None:
                message = parse(batch.datagram(number), needs_priority=False)
                verdict = judge.judge(message, peer, time_of(_stamp(message)))
            yield number, verdict
            seen = number + 1


def _stamp(message: Message | Refusal) -> bytes:
    return message.timestamp if isinstance(message, Message) else b""
