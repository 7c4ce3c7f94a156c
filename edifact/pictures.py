"""The commoner pictures of 2379, by which dates are written, as patterns; `edifact.segment.is_date` knows them all."""

from __future__ import annotations

_MONTH_DAY = (
    "(?:(?:0[13578]|1[02])(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)(?:0[1-9]|[12][0-9]|30)|02(?:0[1-9]|1[0-9]|2[0-8]))"
)
_LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_TIMES = {"h": "(?:[01][0-9]|2[0-3])", "m": "[0-5][0-9]", "s": "[0-5][0-9]"}
_DAYS = {
    "CCYYMMDD": f"(?:(?!0000)[0-9]{{4}}{_MONTH_DAY}|{_LEAP}0229)",
    "YYMMDD": f"(?:[0-9]{{2}}{_MONTH_DAY}|(?:[02468][048]|[13579][26])0229)",
    "CCYYMM": "(?!0000)[0-9]{4}(?:0[1-9]|1[0-2])",
    "CCYYWW": "(?!0000)[0-9]{4}(?:0[1-9]|[1-4][0-9]|5[0-3])",
    "CCYY": "(?!0000)[0-9]{4}",
    "YYMM": "[0-9]{2}(?:0[1-9]|1[0-2])",
}
# A time zone, in which a plus and a colon stand lifted.
_ZONE = "(?:[A-Za-z]{1,5}|[\\ud82b-](?:0[0-9]|1[0-4])(?:\\ud83a?[0-5][0-9])?+)"


def pattern_of(picture: str) -> str | None:
    """Return the pattern of a date in canonical form as a picture says, None for those left to `is_date`."""
    zone = _ZONE if picture.endswith("ZZZ") else ""
    picture = picture.removesuffix("ZZZ")
    day, times = next(((day, picture.removeprefix(day)) for day in _DAYS if picture.startswith(day)), ("", picture))
    if not day and picture[:1] != "h":
        return None
    pattern = _DAYS.get(day, "")
    while times[:2] in ("hh", "mm", "ss"):
        pattern, times = pattern + _TIMES[times[0]], times[2:]
    return pattern + zone if pattern and not times else None
