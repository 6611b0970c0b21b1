"""Deployment to a real ssh server on this machine, and what it says when something is wrong."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from s2bnn_tf.errors import UserError
from s2bnn_tf.export import deploy, ssh
from s2bnn_tf.export.deploy import Destination, deploy_bundle

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")
SSH = shutil.which("ssh")
needs_sshd = pytest.mark.skipif(SSHD is None, reason="needs an ssh server")
# Stands for a bundle's script: what is tested here is the way to the device.
SELFTEST = 'print(\'{"ok": %s, "cosine": %s, "largest_difference": 0.0}\')\n'
INFO = "s2bnn_runtime-0.dist-info"
WHEEL = {
    "s2bnn_runtime.py": "import json, sys\nprint(json.dumps({'called': sys.argv[1:]}))\n",
    f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: s2bnn-runtime\nVersion: 0\n",
    f"{INFO}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{INFO}/RECORD": "",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server for this user on a free port, and `ssh` in PATH with a configuration of its own."""
    folder = tmp_path_factory.mktemp("ssh")
    for name in ("host", "user", "disguised", "stranger"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    # With this key the machine is what the programs in a folder of the test say it is.
    disguise = f'PATH={folder}/disguise:$PATH; export PATH; eval \\"$SSH_ORIGINAL_COMMAND\\"'
    keys = {name: (folder / f"{name}.pub").read_text() for name in ("user", "disguised")}
    (folder / "authorized").write_text(keys["user"] + f'command="{disguise}" ' + keys["disguised"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nListenAddress [::1]:{port}\n"
        f"HostKey {folder}/host\nPidFile none\nStrictModes no\n"
        f"AuthorizedKeysFile {folder}/authorized\nPasswordAuthentication no\nUsePAM no\n"
        "KbdInteractiveAuthentication no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    running = subprocess.Popen(
        [SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=subprocess.PIPE, text=True
    )
    assert "Server listening" in running.stderr.readline()
    yield folder, port
    running.terminate()
    running.communicate()


@pytest.fixture
def use_key(server, monkeypatch):
    """Make `ssh` use one of the keys, as a user's configuration would."""
    folder, _ = server

    def use(key: str) -> None:
        programs = folder / f"bin-{key}"
        programs.mkdir(exist_ok=True)
        (programs / "config").write_text(
            f"Host *\nIdentityFile {folder}/{key}\nIdentitiesOnly yes\n"
            f"StrictHostKeyChecking no\nUserKnownHostsFile {folder}/known\nLogLevel ERROR\n"
        )
        script = programs / "ssh"
        script.write_text(f'#!/bin/sh\nexec {SSH} -F {programs}/config "$@"\n')
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")

    return use


@pytest.fixture
def made_bundle(tmp_path):
    """A bundle for this machine, whose runtime is a real wheel of two lines."""
    folder = tmp_path / "device"
    folder.mkdir()
    (folder / "requirements.txt").write_text("./s2bnn_runtime-0-py3-none-any.whl\n")
    with zipfile.ZipFile(folder / "s2bnn_runtime-0-py3-none-any.whl", "w") as wheel:
        for name, content in WHEEL.items():
            wheel.writestr(zipfile.ZipInfo(name), content)
    (folder / "classify.py").write_text(SELFTEST % ("true", 1.0))
    write_card(folder)
    return folder


def write_card(folder: Path, target: str = f"linux-{platform.machine()}") -> None:
    (folder / "card.json").unlink(missing_ok=True)
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()
    }
    (folder / "card.json").write_text(json.dumps({"target": target, "sha256": digests}))


@pytest.fixture(scope="module")
def there(tmp_path_factory) -> Path:
    """A folder on the device that several tests deploy to, so that one installation serves all."""
    return tmp_path_factory.mktemp("device") / "there"


def url(server, folder: Path) -> str:
    return f"ssh://{getpass.getuser()}@127.0.0.1:{server[1]}{folder}"


@needs_sshd
@pytest.mark.parametrize("copier", ["rsync", "tar"])
def test_copies_installs_and_tests(copier, server, use_key, made_bundle, tmp_path, monkeypatch):
    if copier == "rsync" and not shutil.which("rsync"):
        pytest.skip("needs rsync")
    if copier == "tar":
        which = shutil.which
        monkeypatch.setattr(shutil, "which", lambda name: None if name == "rsync" else which(name))
    use_key("user")
    # The device's shell must read none of this.
    target = tmp_path / "there is" / f"a $(touch {tmp_path}/owned) `touch {tmp_path}/owned` #1?%41"
    told: list[str] = []
    result = deploy_bundle(
        made_bundle, url(server, target), benchmark=True, threads=3, progress=told.append
    )
    assert result["benchmark"]["called"][1:] == ["--benchmark", "--json", "--threads", "3"]
    assert result["selftest"] == {"ok": True, "cosine": 1.0, "largest_difference": 0.0}
    assert result["device"]["machine"] == platform.machine()
    assert json.loads((tmp_path / "device.deployed.json").read_text()) == result
    assert not (tmp_path / "owned").exists()
    for path in made_bundle.iterdir():
        assert (target / path.name).read_bytes() == path.read_bytes()
    installed = (target / ".venv" / "pyvenv.cfg").stat().st_mtime_ns
    deploy_bundle(made_bundle, url(server, target))
    assert (target / ".venv" / "pyvenv.cfg").stat().st_mtime_ns == installed


@needs_sshd
def test_a_device_that_computes_something_else_is_named(server, use_key, made_bundle, there):
    use_key("user")
    (made_bundle / "classify.py").write_text(SELFTEST % ("false", 0.5))
    write_card(made_bundle)
    with pytest.raises(UserError, match=r"does not compute the host's result \(cosine 0.5000\)"):
        deploy_bundle(made_bundle, url(server, there))


@needs_sshd
def test_what_ssh_refuses_is_told(server, use_key, made_bundle, tmp_path):
    use_key("stranger")
    with pytest.raises(UserError, match="does not accept your key: `ssh-copy-id"):
        deploy_bundle(made_bundle, url(server, tmp_path / "there"))
    use_key("user")
    with pytest.raises(UserError, match="has no ssh server there; check the port"):
        deploy_bundle(made_bundle, f"ssh://127.0.0.1:1{tmp_path}/there")
    with pytest.raises(UserError, match="there is no such host"):
        deploy_bundle(made_bundle, f"ssh://nowhere.invalid{tmp_path}/there")


@needs_sshd
def test_a_bundle_for_another_machine_is_not_copied(server, use_key, made_bundle, tmp_path):
    use_key("user")
    other = {"aarch64": "x86_64"}.get(platform.machine(), "aarch64")
    write_card(made_bundle, f"linux-{other}")
    with pytest.raises(UserError, match=f"make one with --target linux-{platform.machine()}"):
        deploy_bundle(made_bundle, url(server, tmp_path / "there"))
    assert list((tmp_path / "there").iterdir()) == []


@needs_sshd
@pytest.mark.parametrize(
    ("program", "says", "expected"),
    [
        ("uname", "armv7l", "runs a 32-bit system; install a 64-bit one"),
        ("getconf", "32", "runs a 32-bit system; install a 64-bit one"),
        ("getconf", "", "has glibc none; 2.27 or newer is needed"),
        ("getconf", "glibc 2.24", "has glibc 2.24; 2.27 or newer is needed"),
        ("python3", "3.7", "has Python 3.7; install one of 3.10, 3.11, 3.12, 3.13"),
        ("python3", "", r"has Python without venv, or none; .*apt install python3-venv"),
        (
            "df",
            "/dev/x 9 9 2000 9% /",
            "has too little space in .*: 400 MB are needed, 1 MB are free",
        ),
    ],
)
def test_a_device_that_cannot_do_it_is_told_and_left_as_it_was(
    program, says, expected, server, use_key, made_bundle, tmp_path
):
    disguise = server[0] / "disguise"
    shutil.rmtree(disguise, ignore_errors=True)
    disguise.mkdir()
    (disguise / program).write_text(f"#!/bin/sh\necho '{says}'\n")
    (disguise / program).chmod(0o755)
    use_key("disguised")
    with pytest.raises(UserError, match=expected):
        deploy_bundle(made_bundle, url(server, tmp_path / "there"))
    assert list((tmp_path / "there").iterdir()) == []


@needs_sshd
def test_a_folder_that_cannot_be_written_is_told(server, use_key, made_bundle, tmp_path):
    use_key("user")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file/there cannot be written on .*; choose another"):
        deploy_bundle(made_bundle, url(server, tmp_path / "file" / "there"))


def test_what_is_no_bundle(tmp_path):
    (tmp_path / "text.zip").write_text("no zip")
    for path in (tmp_path, tmp_path / "text.zip"):
        with pytest.raises(UserError, match="is not a bundle: make one with `s2bnn bundle`"):
            deploy_bundle(path, "ssh://pi@device/~/x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ssh://pi@device/home/pi/x", Destination("pi@device", None, "/home/pi/x")),
        ("ssh://pi@device:2222/~/x", Destination("pi@device", 2222, "x")),
        ("ssh://device/x", Destination("device", None, "/x")),
        ("ssh://device/a#b?c%20d", Destination("device", None, "/a#b?c%20d")),
        ("ssh://[::1]:22/x", Destination("::1", 22, "/x")),
        ("ssh://pi@[fe80::1%eth0]/x", Destination("pi@fe80::1%eth0", None, "/x")),
    ],
)
def test_destinations(text, expected):
    assert Destination.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "pi@device:x",
        "http://device/x",
        "ssh://device",
        "ssh:///x",
        "ssh://a:b/x",
        "ssh://a:70000/x",
        "ssh://-oX/x",
        "ssh://a/~/",
        "ssh://a/b\nc",
        "ssh://pi@-oProxyCommand=x/y",
    ],
)
def test_what_is_no_destination(text):
    with pytest.raises(UserError, match="ssh://user@host|is not a host|cannot be the name"):
        Destination.parse(text)


@pytest.mark.slow
@needs_sshd
def test_standard_input_is_left_to_a_loop_over_devices(server, use_key, made_bundle, there):
    use_key("user")
    loop = f'while read -r device; do {sys.executable} -m s2bnn_tf deploy "$0" "$device"; done'
    devices = [url(server, there), url(server, there)]
    looped = subprocess.run(
        ["sh", "-c", loop, str(made_bundle)],
        input="".join(f"{device}\n" for device in devices),
        text=True,
        capture_output=True,
        check=True,
    )
    assert looped.stdout.count("The device computes what the host computed") == 2


@needs_sshd
def test_a_folder_bundle_by_its_dot(server, use_key, made_bundle, tmp_path, there, monkeypatch):
    use_key("user")
    monkeypatch.chdir(made_bundle)
    deploy_bundle(".", url(server, there))
    assert (tmp_path / "device.deployed.json").is_file()


@needs_sshd
def test_versions_in_names_are_no_suffixes(server, use_key, made_bundle, tmp_path, there):
    use_key("user")
    for name in ("v1.0", "v1.1"):
        shutil.copytree(made_bundle, tmp_path / name)
        deploy_bundle(tmp_path / name, url(server, there))
    assert {path.name for path in tmp_path.glob("*.json")} == {
        "v1.0.deployed.json",
        "v1.1.deployed.json",
    }


@needs_sshd
def test_an_ipv6_address(server, use_key, made_bundle, there):
    use_key("user")
    address = f"ssh://{getpass.getuser()}@[::1]:{server[1]}{there}"
    assert deploy_bundle(made_bundle, address)["selftest"]["ok"]


def test_a_silent_server_is_given_up(made_bundle, monkeypatch):
    """It accepts the connection and never says a word."""
    monkeypatch.setattr(ssh, "_OPTIONS", ("-o", "BatchMode=yes", "-o", "ConnectTimeout=1"))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(UserError, match="it does not answer|has stopped answering"):
            deploy_bundle(made_bundle, f"ssh://127.0.0.1:{silent.getsockname()[1]}/tmp/there")


def test_a_bundle_that_is_not_what_its_card_says(made_bundle, tmp_path):
    good = (made_bundle / "classify.py").read_text()
    (made_bundle / "classify.py").write_text(good + "# changed\n")
    with pytest.raises(UserError, match="classify.py is missing, or not the file that card.json"):
        deploy_bundle(made_bundle, "ssh://pi@device/~/x")
    (made_bundle / "classify.py").unlink()
    with pytest.raises(UserError, match="classify.py is missing"):
        deploy_bundle(made_bundle, "ssh://pi@device/~/x")
    (tmp_path / "elsewhere.py").write_text(good)
    (made_bundle / "classify.py").symlink_to(tmp_path / "elsewhere.py")
    with pytest.raises(UserError, match="is a symbolic link"):
        deploy_bundle(made_bundle, "ssh://pi@device/~/x")


@pytest.mark.parametrize(
    "card",
    [
        "{",
        "[]",
        '{"target": 1, "sha256": {}}',
        '{"target": "linux-x86_64"}',
        '{"target": "linux-x86_64", "sha256": {"../x": "00"}}',
        '{"target": "linux-x86_64", "sha256": {"-x": "00"}}',
        '{"target": "linux-x86_64", "sha256": {"a": 1}}',
    ],
)
def test_a_damaged_card(card, made_bundle):
    (made_bundle / "card.json").write_text(card)
    with pytest.raises(UserError, match="make it again with `s2bnn bundle`"):
        deploy_bundle(made_bundle, "ssh://pi@device/~/x")


def test_a_zip_that_unpacks_to_anything(made_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(deploy, "_LARGEST_BUNDLE", 10**6)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/card.json", bytes(10**6 + 1))
    with pytest.raises(UserError, match="it has 1 files of 1,000,001 bytes"):
        deploy_bundle(tmp_path / "bomb.zip", "ssh://pi@device/~/x")
