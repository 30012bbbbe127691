"""Where the results are kept in PostgreSQL, by an option or by the environment."""

from typing import TYPE_CHECKING

from worker import settings
from worker.errors import ConfigurationError, UsageError
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.results.postgres.location import Location

VARIABLE = f"{settings.PREFIX}POSTGRES_URL"


def location(option: str | None, loaded: Settings) -> "Location | None":
    """The database of ``--postgres``, else of the environment; None if neither names one.

    Raises:
      UsageError: the option holds a password.
      ConfigurationError: the URL can't be used, or the extra ``postgres`` is not installed.
    """
    named = "--postgres" if option is not None else VARIABLE
    if option is not None:
        try:
            loaded = settings.with_postgres_url(loaded, option)
        except ConfigurationError as error:
            raise UsageError(str(error).replace(VARIABLE, "--postgres")) from None
    if loaded.postgres_url is None:
        return None
    # Apart and late: it takes 50 ms, and only this needs it.
    try:
        from worker.results.postgres.location import Location
    except ImportError:
        raise ConfigurationError(
            f"{named}: PostgreSQL needs psycopg, which is not installed: pip install 'psycopg[binary]'"
        ) from None
    found = Location(loaded.postgres_url.get_secret_value(), named, loaded.plaintext_hosts)
    if option is not None and found.has_password:
        raise UsageError(
            "--postgres: every user of this machine can read a password on a command line; put the URL into "
            f"{VARIABLE}, or the password into PGPASSWORD or a file that PGPASSFILE names"
        )
    return found
