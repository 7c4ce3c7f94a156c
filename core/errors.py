"""The errors that cross rooms; each becomes one clear line or a proper refusal, never a traceback."""

from __future__ import annotations

from core.findings import Bilingual, Place


class GatewayError(Exception):
    """Something the operator or caller can fix; its text is one clear line.

    `said` is the same for pages in either language; what was given in English alone is English in both.
    """

    def __init__(self, said: str | Bilingual = "") -> None:
        self.said = said if isinstance(said, Bilingual) else Bilingual(said, said)
        super().__init__(self.said.en)


class SpecError(GatewayError):
    """A table or a pack that cannot be used: the file, the row (1-based, None for the whole file) and the reason."""

    def __init__(self, file: str, row: int | None, reason: str) -> None:
        super().__init__(f"{file}{f', row {row}' if row else ''}: {reason}")
        self.file, self.row, self.reason = file, row, reason


class Malformed(GatewayError):
    """Bytes that cannot be read as what they claim to be; `code` is a row of the findings table.

    `syntax_error` is the UN 0085 code where one applies, `reason_fr` the reason in French where senders read it.
    """

    def __init__(
        self,
        code: str,
        reason: str,
        *,
        place: Place | None = None,
        value: str | None = None,
        syntax_error: str | None = None,
        reason_fr: str | None = None,
        expected: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason_fr, self.expected = reason_fr or reason, expected
        self.code, self.reason, self.place, self.value, self.syntax_error = (
            code,
            reason,
            place or Place(),
            value,
            syntax_error,
        )


def cause_of(error: Exception) -> str:
    """Return why a file cannot be read, without the number and the path of an OSError."""
    return getattr(error, "strerror", None) or str(error)


class BrokerUnavailable(GatewayError):
    """The broker cannot be reached or does not answer in time."""


class BrokerBlocked(BrokerUnavailable):
    """The broker's alarm (memory, disk) is on: it answers, and takes nothing until it says so."""


class JournalUnavailable(GatewayError):
    """The database cannot be reached or does not answer in time."""
