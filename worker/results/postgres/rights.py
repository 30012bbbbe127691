"""What a role has to be granted, as an administrator types it."""

import re

from worker.results.postgres.connection import Connection

_PLAIN = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def to_migrate(connection: Connection, version: int | None) -> str:
    """For who makes the schema, or brings one of an earlier ``version`` up to date."""
    if version is not None:
        return "run this version once as the role that owns the schema referrals"
    info = connection.info
    return f"GRANT CREATE ON DATABASE {_name(info.dbname)} TO {_name(info.user)}, or make the schema referrals its own"


def to_collect(connection: Connection) -> str:
    """For who writes into a schema that another role has made."""
    role = _name(connection.info.user)
    return (
        f"GRANT USAGE ON SCHEMA referrals TO {role}; GRANT SELECT ON referrals.migrations TO {role}; "
        f"GRANT SELECT, INSERT, UPDATE ON referrals.results TO {role}"
    )


def to_erase(connection: Connection) -> str:
    """For who deletes a person's results."""
    role = _name(connection.info.user)
    return (
        f"GRANT USAGE ON SCHEMA referrals TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA referrals TO {role}; "
        f"GRANT DELETE ON referrals.results TO {role}"
    )


def to_read(connection: Connection) -> str:
    """For who only reads."""
    role = _name(connection.info.user)
    return f"GRANT USAGE ON SCHEMA referrals TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA referrals TO {role}"


def _name(name: str) -> str:
    """A name as SQL quotes it; plain ones stand as they are."""
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'
