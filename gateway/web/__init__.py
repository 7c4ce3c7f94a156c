"""The web side: one ASGI application of parts (trial page, API, partners' exchange, operators' desk)."""
