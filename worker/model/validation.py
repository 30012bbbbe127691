"""What pydantic found wrong with a document, in a line that quotes nothing of it."""

from pydantic import ValidationError


def explain(error: ValidationError) -> str:
    """One line that names each field at fault and what is wrong with it, without its value."""
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_context=False, include_input=False)[:5]
    )
