# SPDX-License-Identifier: Apache-2.0
"""sbom.py VERSION REVISION: packages, one a line as dpkg-query prints them (name, version, architecture, source), to an SPDX 2.3 document."""

import hashlib
import json
import sys

version, revision = sys.argv[1:3]
packages = [line.rstrip("\n").split("\t") for line in sys.stdin]
assert packages, "no packages"
name = "sandpiper-" + version


def identifier(text):
    return "SPDXRef-Package-" + "".join(c if c.isalnum() or c in ".-" else "-" for c in text)


described = [
    {
        "SPDXID": identifier("sandpiper"),
        "name": "sandpiper",
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "Apache-2.0",
        "licenseDeclared": "Apache-2.0",
        "copyrightText": "NOASSERTION",
        "sourceInfo": "revision " + revision,
    }
]
for package, package_version, architecture, source in packages:
    described.append(
        {
            "SPDXID": identifier(package),
            "name": package,
            "versionInfo": package_version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False,
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "NOASSERTION",
            "copyrightText": "NOASSERTION",
            "sourceInfo": "Debian source package " + source,
            "externalRefs": [
                {
                    "referenceCategory": "PACKAGE-MANAGER",
                    "referenceType": "purl",
                    "referenceLocator": "pkg:deb/debian/%s@%s?arch=%s"
                    % (
                        package,
                        package_version.replace("+", "%2B").replace(":", "%3A"),
                        architecture,
                    ),
                }
            ],
        }
    )
relations = [
    {
        "spdxElementId": "SPDXRef-DOCUMENT",
        "relationshipType": "DESCRIBES",
        "relatedSpdxElement": identifier("sandpiper"),
    }
]
relations += [
    {
        "spdxElementId": identifier("sandpiper"),
        "relationshipType": "DEPENDS_ON",
        "relatedSpdxElement": p["SPDXID"],
    }
    for p in described[1:]
]
digest = hashlib.sha256(json.dumps(described).encode()).hexdigest()
json.dump(
    {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": "https://sandpiper.invalid/spdx/%s-%s" % (name, digest[:16]),
        "creationInfo": {
            "created": "1970-01-01T00:00:00Z",
            "creators": ["Tool: sandpiper-deploy/image/sbom.py"],
        },
        "packages": described,
        "relationships": relations,
    },
    sys.stdout,
    indent=1,
)
print()
