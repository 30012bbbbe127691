"""The conditions of ``--consent``, all of which a row must meet, and what is reported if no row does."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from worker.campaigns.cell_text import folded
from worker.campaigns.columns import VALUE_SHOWN, normalized, shown_value
from worker.campaigns.identifiers import is_spreadsheet_error
from worker.campaigns.warnings import ImportWarnings
from worker.errors import UsageError

_VALUES_COUNTED = 20
"""Different values of a column that are counted. A column with more is not about consent; it may hold names."""

_VALUES_SHOWN = 8
"""Values that the error lists; the rest are counted."""


@dataclass(frozen=True)
class Condition:
    """A row's cell in ``column`` must be ``value``, or, if ``negated``, anything else.

    Cells are compared without case and outer spaces, in one form of Unicode. An empty ``value`` means a blank cell;
    what databases write for no value counts as blank. A spreadsheet's error meets no condition.
    """

    column: str
    value: str
    negated: bool = False

    def __str__(self) -> str:
        return f"--consent {self.column}{'!=' if self.negated else '='}{self.value}"


def parse_consent(argument: str) -> Condition:
    """The condition in ``COLUMN=VALUE``, ``COLUMN!=VALUE``, ``COLUMN=`` or ``COLUMN!=``.

    Raises:
      UsageError: the argument has another form.
    """
    column, equals, value = argument.partition("=")
    negated = column.endswith("!")
    column = column.removesuffix("!").strip()
    if not equals or not column:
        raise UsageError(
            f"--consent {argument}: write it as COLUMN=VALUE, such as accepts_marketing=yes, or COLUMN!=VALUE; "
            "leave VALUE out for a blank cell"
        )
    return Condition(column, value.strip(), negated)


class Consent:
    """Checks rows against all conditions, one export after the other, and counts which conditions were met.

    A condition that no row meets is a mistake: the file says ``SUBSCRIBED`` and the command says ``yes``. Without this
    check such a run would look like a campaign in which nobody consented.
    """

    def __init__(self, conditions: Sequence[Condition]) -> None:
        self._conditions = tuple(conditions)
        self._wanted = [(folded(condition.value), condition.negated) for condition in conditions]
        self._met = [False] * len(conditions)
        self._met_before = [False] * len(conditions)
        self._values = [Counter[str]() for _ in conditions]
        self._rows = 0
        self._rows_before = 0

    def given(self, cells: Sequence[str]) -> bool:
        """Whether a row meets all conditions; ``cells`` has one cell for each, and may have more after them."""
        self._rows += 1
        every = True
        # All conditions are checked, even after one fails: each must know whether any row ever met it.
        for index, (wanted, negated) in enumerate(self._wanted):
            if (folded(cells[index]) == wanted) == negated or is_spreadsheet_error(cells[index]):
                every = False
                if not self._met[index]:
                    self._count(self._values[index], cells[index])
            else:
                self._met[index] = True
        return every

    def end_export(self, name: str, warnings: ImportWarnings) -> None:
        """End an export: add a warning for each condition that none of its rows met."""
        if self._rows > self._rows_before:
            for condition, met in zip(self._conditions, self._met, strict=True):
                if not met:
                    warnings.once(f"{condition} {name}", f"{name}: {condition}: no row meets this condition")
        self._rows_before = self._rows
        self._met_before = [before or met for before, met in zip(self._met_before, self._met, strict=True)]
        self._met = [False] * len(self._conditions)

    def end(self) -> None:
        """End all exports.

        Raises:
          UsageError: there were rows, and none of them met one of the conditions.
        """
        if not self._rows:
            return
        # If a limit of jobs stopped the reading, the last export has not ended: what its rows met counts too.
        met_by_any = [before or met for before, met in zip(self._met_before, self._met, strict=True)]
        for condition, met, values in zip(self._conditions, met_by_any, self._values, strict=True):
            if not met:
                raise UsageError(
                    f"{condition}: none of {self._rows:,} rows meets this condition, so nothing was done; "
                    f"{_seen(values)}"
                )

    @staticmethod
    def _count(values: Counter[str], cell: str) -> None:
        # Cut, since a cell may have megabytes. One value more than the bound is kept, to know that there are more.
        cell = cell[: VALUE_SHOWN + 1]
        if cell in values or len(values) <= _VALUES_COUNTED:
            values[cell] += 1


def check_conditions(conditions: Iterable[Condition]) -> None:
    """Refuse conditions that no row can meet together.

    Raises:
      UsageError: one column would need two values.
    """
    wanted: dict[str, Condition] = {}
    for condition in conditions:
        if condition.negated:
            continue
        other = wanted.setdefault(normalized(condition.column), condition)
        if folded(other.value) != folded(condition.value):
            raise UsageError(f"{other} and {condition}: no row can meet both, and a row must meet every condition")


def _seen(values: Counter[str]) -> str:
    if len(values) > _VALUES_COUNTED:
        return f"this column has more than {_VALUES_COUNTED} different values: is it the right one?"
    shown = [f"{_shown(value)} ({number:,})" for value, number in values.most_common(_VALUES_SHOWN)]
    more = f" and {len(values) - _VALUES_SHOWN} more" if len(values) > _VALUES_SHOWN else ""
    return f"the values of this column: {', '.join(shown)}{more}"


def _shown(value: str) -> str:
    return shown_value(value) if folded(value) else "blank"
