"""What is blank: one definition for both syntaxes and for whatever looks at a sender's text."""

from __future__ import annotations

# What XML 1.0 counts as white space, and what may stand between EDIFACT segments; Unicode knows more.
BLANK = " \t\r\n"

# What files are padded with around their content, and says nothing: blanks, NUL, vertical tab, form feed, and the end
# of file of DOS and CP/M.
FILLER = BLANK + "\0\x0b\x0c\x1a"
