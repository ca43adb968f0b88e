"""Whether this machine can be reached by IPv6, which some containers cannot."""

from pathlib import Path

import pytest

_ADDRESSES = Path("/proc/net/if_inet6")

needs_ipv6 = pytest.mark.skipif(
    not (_ADDRESSES.exists() and _ADDRESSES.read_text()), reason="needs an IPv6 address"
)
