"""Runs classes of Apache Kafka itself on a JVM: the class path is resolved once, by Maven."""

import fcntl
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
POM = ROOT / "tests" / "interop" / "java" / "pom.xml"
CACHE = ROOT / "build" / "java"
BUILD_CLASSPATH = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath"
RESOLVE_SECONDS = 600
RUN_SECONDS = 240

# Quiet logging and a short start; these tools live for a second.
JVM_FLAGS = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Xmx512m")


@cache
def kafka_classpath() -> str:
    """The jars of the Kafka version that the pom names; skips the test where none can be had."""
    if shutil.which("java") is None:
        pytest.skip("needs a JVM: `java` is not on the PATH")
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cached = CACHE / "classpath.txt"
        if cached.exists() and cached.stat().st_mtime >= POM.stat().st_mtime:
            text = cached.read_text()
            if all(Path(jar).exists() for jar in text.split(":")):
                return text
        return _resolve(cached)


def run_kafka_class(class_name: str, *arguments: str) -> str:
    """What a class prints on stdout; fails the test where it ends with an error."""
    command = ["java", *JVM_FLAGS, "-cp", kafka_classpath(), class_name, *arguments]
    finished = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=RUN_SECONDS
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def _resolve(cached: Path) -> str:
    if shutil.which("mvn") is None:
        pytest.skip("needs Maven once, to fetch Kafka's jars: `mvn` is not on the PATH")
    made = cached.with_suffix(".new")
    command = ["mvn", "-q", "-B", "-f", str(POM), BUILD_CLASSPATH]
    flags = [f"-Dmdep.outputFile={made}", "-Dmdep.includeScope=runtime"]
    finished = subprocess.run(
        command + flags, check=False, capture_output=True, text=True, timeout=RESOLVE_SECONDS
    )
    if finished.returncode != 0:
        pytest.skip(f"Maven could not fetch Kafka's jars: {finished.stdout[-500:]}")
    made.replace(cached)
    return cached.read_text()
