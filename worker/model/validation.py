"""Turns pydantic's findings about a document into a line that quotes nothing of it. Pure."""

from pydantic import ValidationError


def explain(error: ValidationError) -> str:
    """One line that names up to five fields at fault and what is wrong with each, without their values."""
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_context=False, include_input=False)[:5]
    )
