"""The notices of what the image ships: each part's licence, and its text as the part itself brings it."""

from collections.abc import Sequence
from importlib.metadata import Distribution

from scripts.programs.supply.licences import licence_of
from scripts.programs.supply.shipped import Shipped, project

_RULE = "=" * 100

_ALSO = ("license", "licence", "copying", "notice")
"""Beginnings of the names of such files in metadata that is too old to list them."""


def notices(parts: Sequence[Shipped]) -> str:
    """One text: a table of all parts, then every text that they bring, once, under those that bring it.

    Raises:
      LicenceError: a part's licence is not told.
    """
    rows = [f"{one.name:22}{one.version:14}{licence_of(one.installed)}" for one in parts]
    texts: dict[str, list[str]] = {}
    for one in parts:
        for name, text in _texts(one.installed):
            texts.setdefault(text, []).append(f"{one.name} {one.version}: {name}")
    compiled = [
        line
        for one in parts
        if one.parts()
        for line in (
            f"Inside {one.name}, whose wheel has no texts of theirs:",
            *(
                f"  {part['name']} {part['version']}, {' AND '.join(each['expression'] for each in part['licenses'])}"
                + (f"\n    {part['description']}" if "description" in part else "")
                for part in one.parts()
            ),
            "",
        )
    ]
    return "\n".join(
        [
            f"What the image of {project()['name']} ships beside itself, and on what terms.",
            "Made by scripts/sbom from the lock file and from what each part says of itself. The base image,",
            "which brings Python, is chosen by whoever builds: it has notices of its own.",
            "",
            *rows,
            "",
            *compiled,
            *(line for text, names in texts.items() for line in (_RULE, *names, _RULE, "", text, "")),
        ]
    )


def _texts(installed: Distribution) -> list[tuple[str, str]]:
    listed = set(installed.metadata.get_all("License-File") or ())
    found = []
    for path in installed.files or ():
        inside = path.parts[0].endswith(".dist-info")
        name = "/".join(path.parts[1:]).removeprefix("licenses/")
        if inside and (name in listed or (not listed and name.lower().startswith(_ALSO))):
            lines = path.read_text(encoding="utf-8").splitlines()
            found.append((name, "\n".join(line.rstrip() for line in lines).strip("\n")))
    assert found, f"{installed.name}: brings no text of its licence; add it by hand in {__name__}"
    return sorted(found)
