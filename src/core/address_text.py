"""How an address is written: an IPv6 one in brackets, so that its port is seen."""


def address_text(host: str, port: int) -> str:
    """`host:port`, as a client takes it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
