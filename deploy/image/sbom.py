# SPDX-License-Identifier: Apache-2.0
"""sbom.py VERSION REVISION: writes an SPDX 2.3 document of the image's packages to stdout.

stdin has a package a line, as dpkg-query prints it: name, version, architecture, source.
"""

import hashlib
import json
import sys
from typing import Any

SPDX_DOCUMENT = "SPDXRef-DOCUMENT"


def identifier(name: str) -> str:
    return "SPDXRef-Package-" + "".join(c if c.isalnum() or c in ".-" else "-" for c in name)


def describe(name: str, licence: str, source: str) -> dict[str, Any]:
    return {
        "SPDXID": identifier(name),
        "name": name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": licence,
        "licenseDeclared": licence,
        "copyrightText": "NOASSERTION",
        "sourceInfo": source,
    }


def describe_debian(name: str, version: str, architecture: str, source: str) -> dict[str, Any]:
    escaped = version.replace("+", "%2B").replace(":", "%3A")
    url = {
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": f"pkg:deb/debian/{name}@{escaped}?arch={architecture}",
    }
    description = describe(name, "NOASSERTION", "Debian source package " + source)
    return {**description, "versionInfo": version, "externalRefs": [url]}


def relation(subject: str, kind: str, related: str) -> dict[str, str]:
    return {"spdxElementId": subject, "relationshipType": kind, "relatedSpdxElement": related}


def main() -> None:
    version, revision = sys.argv[1:3]
    packages = [line.rstrip("\n").split("\t") for line in sys.stdin]
    assert packages, "no packages"
    sandpiper = describe("sandpiper", "Apache-2.0", "revision " + revision)
    sandpiper["versionInfo"] = version
    debian = [describe_debian(*package) for package in packages]
    described = [sandpiper, *debian]
    relations = [relation(SPDX_DOCUMENT, "DESCRIBES", sandpiper["SPDXID"])]
    relations += [relation(sandpiper["SPDXID"], "DEPENDS_ON", p["SPDXID"]) for p in debian]
    name = "sandpiper-" + version
    digest = hashlib.sha256(json.dumps(described).encode()).hexdigest()
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": SPDX_DOCUMENT,
        "name": name,
        "documentNamespace": f"https://sandpiper.invalid/spdx/{name}-{digest[:16]}",
        "creationInfo": {
            "created": "1970-01-01T00:00:00Z",
            "creators": ["Tool: sandpiper-deploy/image/sbom.py"],
        },
        "packages": described,
        "relationships": relations,
    }
    json.dump(document, sys.stdout, indent=1)
    print()


main()
