"""Imported by the server that worker processes are forked from: these have all compiled from their first moment on."""

from contextlib import suppress

from core.errors import GatewayError
from gateway.plans import warm
from gateway.settings import from_environment
from gateway.web.work import plans_of

with suppress(GatewayError):  # whoever starts workers has said so before
    for _ in warm(plans_of(from_environment().specs)):
        pass
