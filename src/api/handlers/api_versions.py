"""ApiVersions (API key 18), versions 0-4.

Behaviour: names every route with the versions advertised.  A version above 4 is answered in the
    body of version 0 with UNSUPPORTED_VERSION and the whole list, so that the client can step down
    (KIP-511).  May be asked at any time, any number of times.
Versions: 3 brings the client's software name and version, which must be well-formed, and tagged
    fields for features; 4 lets a feature begin at 0 (KIP-1022).
Not done: features.  None is finalized, so their tagged fields are left out altogether.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..wire.error_codes import ErrorCode
from .context import RequestContext

if TYPE_CHECKING:
    from ..broker import Broker
    from .routes import Route

_SOFTWARE = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")
FIRST_VERSION_WITH_SOFTWARE = 3


def handle_api_versions(
    broker: "Broker", context: RequestContext, request: dict[str, Any]
) -> dict[str, Any]:
    """The routes, or INVALID_REQUEST for a client whose software name is no name."""
    from .routes import ROUTES  # the table names this handler, so it cannot be imported above

    error_code = ErrorCode.NONE
    if context.api_version >= FIRST_VERSION_WITH_SOFTWARE and not (
        _SOFTWARE.fullmatch(request["client_software_name"])
        and _SOFTWARE.fullmatch(request["client_software_version"])
    ):
        error_code = ErrorCode.INVALID_REQUEST
    return {"error_code": error_code, "api_keys": _describe(ROUTES.values())}


def answer_unsupported_version(routes: Iterable["Route"]) -> dict[str, Any]:
    """The body, in version 0, for a client that asked in a version we do not know."""
    return {"error_code": ErrorCode.UNSUPPORTED_VERSION, "api_keys": _describe(routes)}


def _describe(routes: Iterable["Route"]) -> list[dict[str, int]]:
    return [
        {
            "api_key": int(route.api_key),
            "min_version": route.min_version,
            "max_version": route.max_version,
        }
        for route in sorted(routes, key=lambda route: int(route.api_key))
    ]
