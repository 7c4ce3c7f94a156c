"""Verdicts to answers in the sender's syntax: CONTRL, GOVCBR, WCO Response, receipt."""
