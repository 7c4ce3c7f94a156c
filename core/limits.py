"""Every limit in one place, each with its reason."""

from __future__ import annotations

from collections.abc import Iterable

# A transmission's size. Customs administrations take 10 to 20 MB; checked by the broker and again on the body.
TRANSMISSION_BYTES = 10_000_000

# Bytes of messages that are read or handled in one go, unless it is one alone: a hundred of the largest would be a
# gigabyte, and a minute of work under one lease (DECISIONS D35).
BATCH_BYTES = 2_000_000

# XML nodes in one document: libxml2 has no limit of its own, and 8 MB of `<b/>` cost 260 MB of memory.
XML_NODES = 200_000

# Findings listed in one answer; the total is always told. Senders want all, but bounded.
FINDINGS_LISTED = 50

# Characters of the sender's input that a finding repeats.
ECHO_CHARACTERS = 40

# Counted attempts before a message is parked: with 2 % kills a step, innocent ones never needed more than 3.
ATTEMPTS = 5

# Transmissions of one unproven sender by one queue that are answered in a minute: enough to tell an honest partner what
# is wrong with its set-up, too few to flood the queue's owner.
UNPROVEN_ANSWERED = 10

# Hours that a partner's CONTRL on an answer may take: programs send it at once, and who fetches once a day has the day.
ACKNOWLEDGEMENT_HOURS = 24

# Seconds of processor time that one message may take; then its worker is ended from outside, whatever it hangs in. The
# largest that the other limits let through takes a fraction (DECISIONS D17).
MESSAGE_SECONDS = 20.0

# How many times that by the clock, for what waits instead of working: a machine that has much to do is no message's
# fault. It is still below the lease of a minute.
PATIENT = 2

# The same for a message that is tried for the first time, by the clock as well, so that those behind it wait for a few
# seconds only. The largest good ones stay below; what does not is tried again, where it holds up nobody (DECISIONS
# D71).
FIRST_SECONDS = 2.5

# After so many seconds a worker lets go of what it has claimed and not begun: then it is everybody's turn again.
TURN_SECONDS = 1.0

# Address space of a process that judges: what asks for more gets a MemoryError, not the whole machine.
WORKER_BYTES = 2_000_000_000

# EDIFACT: segments in one message, bytes in one segment, data elements in one segment.
# So many segments are 3,500 lines of goods, more than XML_NODES lets through, and cost two seconds and 120 MB if bad.
SEGMENTS = 50_000
SEGMENT_BYTES = 4_096
SEGMENT_ELEMENTS = 100

# EDIFACT: characters of a message from which on these are looked at before it is taken apart.
LARGE = 500_000

# EDIFACT: messages in one transmission, which is judged as one: each that is refused costs three milliseconds, and all
# of them must be done well within MESSAGE_SECONDS. And interchanges or functional groups in one.
MESSAGES = 1_000
ENVELOPES = 1_000

# Faults that the checks of one message give; then they stop. An answer lists far fewer.
FAULTS = 1_000

# Faults in all messages of one transmission; after these, each further message is told its first fault only.
FAULTS_ALL = 20_000

# Faults of envelopes in all messages of one transmission, each of which shares those around it; after these, each
# further message is told the first that refuses it only. A thousand around a thousand messages would be a million.
FAULTS_AROUND = 200

# What of a message's good syntax is told as not read, and how long an XPath in a finding may be.
UNREAD = 1_000
PATH_CHARACTERS = 300

# XML: bytes of the name of an element or attribute; the data model's longest has some forty.
XML_NAME = 200

# XML: attributes of one element, namespaces included; the data model's have one or two. A tree of those that the number
# of nodes would allow, and what a schema says of each, would be 300 MB.
XML_ATTRIBUTES = 200

# Bytes of XML tags that a process remembers for good, as libxml2 does: all of good traffic's, several times over. A
# document with others is parsed where what is remembered ends with it (DECISIONS D97).
TAGS_KEPT = 64_000


def in_one_go(sizes: Iterable[int], most: int = BATCH_BYTES) -> int:
    """Return how many messages of these sizes (bytes), from the first on, may be handled together: one at least."""
    count = total = 0
    for size in sizes:
        total += size
        if count and total > most:
            break
        count += 1
    return count


def by_the_clock(seconds: float) -> float:
    """Return how long a message may take by the clock that may take so many seconds of processor time."""
    return seconds if seconds <= FIRST_SECONDS else PATIENT * seconds
