"""Hosts and ports as URLs write them."""


def authority(host: str, port: int) -> str:
    """``host:port`` for a URL or a message, with an IPv6 address in brackets.

    Nothing is escaped: a caller whose host may have a zone (``fe80::1%eth0``) and who opens the URL escapes its ``%``.
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
