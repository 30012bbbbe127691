"""The SBOM: what the image ships, in CycloneDX, the same to the byte for the same lock file."""

import json
import uuid
from collections.abc import Sequence
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from scripts.programs.supply.licences import check, licence_of
from scripts.programs.supply.shipped import Shipped, needs, project, wanted

_LICENCES = LicenseFactory()


def bom(parts: Sequence[Shipped]) -> str:
    """The SBOM as JSON. It names no time and no place, so that it changes only with what it lists.

    Raises:
      LicenceError: a part's licence is unknown, or may not be shipped.
    """
    components = {one.name: _component(one) for one in parts}
    about = project()
    ours = Component(
        type=ComponentType.APPLICATION,
        name=about["name"],
        version=about["version"],
        bom_ref=about["name"],
        licenses=[_LICENCES.make_from_string(about["license"])],
    )
    made = Bom(components=components.values())
    made.metadata.component = ours
    made.register_dependency(ours, [components[one.name] for one in wanted()])
    for one in parts:
        made.register_dependency(components[one.name], [components[name] for name in needs(one) if name in components])
    document = json.loads(JsonV1Dot6(made).output_as_string())
    del document["metadata"]["timestamp"], document["serialNumber"]
    document["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(document, sort_keys=True)).urn
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _component(one: Shipped) -> Component:
    expression = licence_of(one.installed)
    check(one.name, expression)
    purl = PackageURL("pypi", name=one.name, version=one.version)
    return Component(
        type=ComponentType.LIBRARY,
        name=one.name,
        version=one.version,
        bom_ref=str(purl),
        purl=purl,
        description=one.installed.metadata["Summary"],
        licenses=[_LICENCES.make_from_string(expression)],
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION,
                url=XsUri(filename),
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
            )
            for filename, digest in one.wheels.items()
        ],
        components=[_compiled_in(one, part) for part in one.parts()],
    )


def _compiled_in(whole: Shipped, part: dict[str, Any]) -> Component:
    expressions = [each["expression"] for each in part.get("licenses", ()) if "expression" in each]
    check(f"{part['name']} in {whole.name}", " AND ".join(f"({each})" for each in expressions))
    purl = PackageURL.from_string(part["purl"])
    return Component(
        type=ComponentType.LIBRARY,
        name=part["name"],
        version=part["version"],
        bom_ref=f"{whole.name}:{purl}",
        purl=purl,
        licenses=[_LICENCES.make_from_string(each) for each in expressions],
        hashes=[HashType(alg=HashAlgorithm(each["alg"]), content=each["content"]) for each in part.get("hashes", ())],
    )
