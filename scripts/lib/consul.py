"""Consul 1.8.7: Debian's package, which only its previous stable suite (bullseye) has.

The source for that suite is derived from the machine's own: the same mirror and keyring, the suite substituted,
apt's lists and cache in a folder of ours. Nothing is installed, and no root is needed.
"""

import os
import re
import shutil
from pathlib import Path

from . import part, paths

SUITE = "bullseye"
PACKAGE = "1.8.7+dfsg1-2+b3"
#: machine: (SHA-256 of the package, SHA-256 of the executable in it).
PINS = {
    "Linux-x86_64": (
        "e4e888bba104daba1d9161f49bfc52649a7e4efd45b1a7ead5bc54f2cb9c89d9",
        "a449efb10a03df3cb9310f3a54d933ccda7c4faba4f421f183fc90a82056798e",
    ),
    "Linux-aarch64": (
        "7318cfa77a7ba6f71dd096e44353279de246ffc6561216ace42353685dcf8255",
        "f2a7371ee91254a5aea54424470e55881d0d15f990bfb0b459be773ea0c106d6",
    ),
}
#: What the user's own Consul must be for the data plane: its xDS is v3, which 1.8.7's is not.
CURRENT = (1, 16)
#: Suites by which a Debian machine may name what it runs.
ALIASES = {"stable", "testing", "unstable", "sid", "oldstable"}


def theirs():
    """The user's current Consul: CONSUL_BIN (must run), else one on PATH that is new enough, else None."""
    chosen = os.environ.get("CONSUL_BIN")
    if chosen:
        try:
            said = part.version_of(chosen, "version")
        except part.Unavailable as err:
            raise part.Broken(f"CONSUL_BIN={chosen} does not run: {err}") from err
        if not current(said):
            raise part.Broken(f"CONSUL_BIN={chosen} is {said}; needed is 1.16 or later")
        return shutil.which(chosen) or chosen, said
    found = shutil.which("consul")
    if found:
        try:
            said = part.version_of(found, "version")
        except part.Unavailable:
            return None
        if current(said):
            return found, said
    return None


def current(said):
    """True for `Consul v1.16.0` and later."""
    version = re.search(r"v(\d+)\.(\d+)\.", said)
    return bool(version) and tuple(map(int, version.groups())) >= CURRENT


def setup():
    """Fetches 1.8.7; gives its path."""
    deb_sha, elf_sha = part.pin_of(PINS, "Consul 1.8.7", "it comes from Debian")
    for tool in ("apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            raise part.Unavailable(f"it comes from Debian, and there is no {tool} here")
    source = bullseye_source()
    folder = paths.TMP / "consul"
    shutil.rmtree(folder, ignore_errors=True)
    for sub in ("lists/partial", "cache/archives/partial"):
        (folder / sub).mkdir(parents=True)
    (folder / "bullseye.sources").write_text(source, encoding="utf-8")
    (folder / "apt.conf").write_text(apt_conf(folder), encoding="utf-8")
    apt = ["apt-get", "--quiet=2", "-c", str(folder / "apt.conf")]

    part.say("consul", f"1.8.7: reading Debian's package list of {SUITE} (8 MB)")
    part.run(apt + ["update"])
    part.say("consul", f"1.8.7: downloading consul {PACKAGE} (14 MB)")
    part.run(apt + ["download", f"consul={PACKAGE}"], cwd=folder)
    debs = list(folder.glob("consul_*.deb"))
    if len(debs) != 1:
        raise part.Unavailable(f"apt-get gave {len(debs)} packages")
    part.check_sha256(debs[0], deb_sha)
    part.run(["dpkg-deb", "-x", str(debs[0]), str(folder / "root")])
    fresh = folder / "root/usr/bin/consul"
    part.check_sha256(fresh, elf_sha)
    target = paths.BIN / "consul-1.8.7"
    part.install(fresh, target)
    shutil.rmtree(folder)
    said = part.version_of(target, "version")
    if said != "Consul v1.8.7":
        raise part.Unavailable(f"it does not run here: {said}")
    part.say("consul", "1.8.7: checksums of the package and the ELF are right, and it runs")
    return target


def apt_conf(folder):
    """apt's settings: folders of ours, only our source, and none of the machine's hooks after an update."""
    return "".join(line + "\n" for line in [
        f'Dir::Etc::SourceList "{folder}/bullseye.sources";',
        'Dir::Etc::SourceParts "/dev/null";',
        f'Dir::State::Lists "{folder}/lists";',
        f'Dir::Cache "{folder}/cache";',
        'APT::Sandbox::User "";',
        'Acquire::Languages "none";',
        'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";',
        'Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";',
        "#clear APT::Update::Pre-Invoke;",
        "#clear APT::Update::Post-Invoke;",
        "#clear APT::Update::Post-Invoke-Success;",
    ])


def bullseye_source():
    """The machine's own Debian source with the suite substituted, as one deb822 stanza."""
    release = os_release()
    if release.get("ID") != "debian":
        name = release.get("PRETTY_NAME", "not Debian")
        raise part.Unavailable(f"it comes from Debian's mirrors, and this is {name}")
    suites = ALIASES | {release.get("VERSION_CODENAME", SUITE)}
    for uri, their_suites, components, signed_by in machine_sources():
        if suites & set(their_suites) and "main" in components:
            stanza = f"Types: deb\nURIs: {uri}\nSuites: {SUITE}\nComponents: main\n"
            return stanza + (f"Signed-By: {signed_by}\n" if signed_by else "")
    raise part.Unavailable("no Debian mirror found in this machine's apt sources")


def os_release(file=Path("/etc/os-release")):
    """/etc/os-release as a dict."""
    if not file.is_file():
        return {}
    pairs = (line.split("=", 1) for line in file.read_text(encoding="utf-8").splitlines() if "=" in line)
    return {key: value.strip().strip('"') for key, value in pairs}


def machine_sources(etc=Path("/etc/apt")):
    """Every `deb` source of this machine: (URI, suites, components, Signed-By or None)."""
    for file in sorted(etc.glob("sources.list.d/*.sources")):
        yield from deb822(file.read_text(encoding="utf-8", errors="replace"))
    for file in [etc / "sources.list", *sorted(etc.glob("sources.list.d/*.list"))]:
        if file.is_file():
            yield from one_line(file.read_text(encoding="utf-8", errors="replace"))


def deb822(text):
    """Stanzas of `Key: value` lines; a value goes on in lines that start with a blank (a key block)."""
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", text):
        fields = {}
        for match in re.finditer(r"^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE):
            fields[match[1].lower()] = match[2].rstrip()
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes") != "no":
            for uri in fields.get("uris", "").split():
                suites, components = fields.get("suites", ""), fields.get("components", "")
                yield uri, suites.split(), components.split(), fields.get("signed-by")


def one_line(text):
    """`deb [signed-by=FILE] URI SUITE COMPONENT...`"""
    for match in re.finditer(r"^deb\s+(?:\[(.*?)\]\s*)?(\S+)\s+(\S+)\s+([^#\n]*)", text, re.MULTILINE):
        options, uri, suite, components = match.groups()
        key = re.search(r"signed-by=(\S+)", options or "", re.IGNORECASE)
        yield uri, [suite], components.split(), key[1].replace(",", " ") if key else None
