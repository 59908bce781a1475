"""The connector's command line and its TOML file: what they mean, and one sentence for each way to get them wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

from connector.deliver import Address, Command, UnixSocket
from connector.outcome import Exit
from connector.settings import BadSetting, read
from localserve.provider import HERE

GOOD = 'provider = "mx.example"\nuser = "u"\ndeliver = "127.0.0.1:25"\nsecret_file = "{secret}"\n'


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("hunter2\n")
    return path


def words(secret: Path, *more: str) -> list[str]:
    """A command line that is right, and what is added to it."""
    need = ["--provider", "mx.example", "--user", "u", "--secret-file", str(secret), "--deliver", "127.0.0.1:25"]
    return ["once", *need, *more]


def config(tmp_path: Path, secret: Path, more: str = "", good: str = GOOD) -> str:
    """A file that is right, and what is added to it; gives its name."""
    path = tmp_path / "connector.toml"
    path.write_text(good.format(secret=secret) + more)
    return str(path)


def test_the_command_line(secret: Path) -> None:
    settings = read(words(secret, "--domain", "a.example", "--domain", "b.example"))
    assert settings.provider == Address("mx.example", 366) and settings.secret == b"hunter2"
    assert settings.domains == ("a.example", "b.example") and settings.tls == "starttls" and settings.every == 300
    assert settings.mechanisms[0] == "SCRAM-SHA-256" and not settings.is_live and settings.command == "once"
    assert "hunter2" not in repr(settings)
    assert read(words(secret, "--provider", "[2001:db8::1]:3366")).provider == Address("2001:db8::1", 3366)


def test_the_file_says_the_same_and_the_command_line_wins(secret: Path, tmp_path: Path) -> None:
    more = 'domain = ["a.example"]\ntls = "implicit"\nlive = true\nevery = 60\nmechanism = ["scram-sha-256"]\n'
    name = config(tmp_path, secret, more + 'hostname = "mail.a.example"\nmetrics_file = "/tmp/x.prom"\n')
    settings = read(["run", "--config", name])
    assert (settings.tls, settings.is_live, settings.every, settings.domains) == ("implicit", True, 60, ("a.example",))
    assert (settings.mechanisms, settings.hostname) == (("SCRAM-SHA-256",), "mail.a.example")
    assert settings.metrics_file == Path("/tmp/x.prom")
    over = read(["run", "--config", name, "--tls", "none", "--every", "5", "--domain", "b.example"])
    assert (over.tls, over.every, over.domains) == ("none", 5, ("b.example",))


def test_r102_a_host_a_socket_or_a_command(secret: Path) -> None:
    for text, deliver in (
        ("[::1]:2525", Address("::1", 2525)),
        ("unix:/run/mail.sock", UnixSocket("/run/mail.sock")),
        ("exec:/usr/sbin/sendmail -bs -f 'a b'", Command(("/usr/sbin/sendmail", "-bs", "-f", "a b"))),
    ):
        settings = read(words(secret, "--deliver", text))
        assert settings.deliver == deliver and str(settings.deliver) == text


BAD_WORDS = [
    (["--provider", "mx.example:0"], "--provider 'mx.example:0' is no address; write host:port, such as 127.0.0.1:25"),
    (["--provider", ":25"], "--provider ':25' is no address; write host:port, such as 127.0.0.1:25"),
    (["--deliver", "localhost"], "--deliver 'localhost' is no address; write host:port, such as 127.0.0.1:25"),
    (
        ["--deliver", "localhost:99999"],
        "--deliver 'localhost:99999' is no address; write host:port, such as 127.0.0.1:25",
    ),
    (["--deliver", "unix:mail.sock"], "--deliver 'unix:mail.sock' is no socket; write unix:/path, from the root"),
    (
        ["--deliver", "exec:sendmail -bs"],
        "--deliver 'exec:sendmail -bs' names no program; write exec:/path/to/program and its words",
    ),
    (["--deliver", "exec:/bin/x 'y"], '--deliver "exec:/bin/x \'y" cannot be split into words: No closing quotation'),
    (["--domain", "*"], "--domain '*' is no domain name; write it in ASCII, such as example.org"),
    (["--hostname", "a b"], "--hostname 'a b' is no name for EHLO; write it in ASCII, such as mail.example.org"),
    (["--ca-file", "/nowhere"], "--ca-file /nowhere is not there"),
    (["--certificate", "/dev/null"], "--certificate /dev/null is not there"),
    (["--secret-file", "/nowhere"], "--secret-file /nowhere cannot be read: No such file or directory"),
    (["--secret-file", "/dev/null"], "--secret-file /dev/null is empty; put the secret into it"),
    (["--mechanism", "LOGIN"], "--mechanism 'LOGIN' is none of SCRAM-SHA-256, EXTERNAL, CRAM-MD5, PLAIN"),
    (["--tls", "perhaps"], "--tls 'perhaps' is none of starttls, implicit, none"),
    (["--live"], "--live needs the command run: a session that stays never comes to an end"),
    (["--every", "0.1"], "--every must be a number of seconds from 1 to 86400"),
    (["--every", "nan"], "--every must be a number of seconds from 1 to 86400"),
    (["--every", "soon"], "--every must be a number of seconds from 1 to 86400"),
    (["--frobnicate"], "unrecognized arguments: --frobnicate; see --help"),
]

BAD_FILES = [
    ("surprise = 1\n", "--config {name} has 'surprise', which is no setting; see --help"),
    ("secret = 'x'\n", "--config {name} has 'secret', which is no setting; see --help"),
    ("live = 1\n", "--config {name} has live = 1; write live = true or false"),
    ("live = 'yes'\n", "--config {name} has live = 'yes'; write live = true or false"),
    ("every = true\n", "--config {name} has every = True; write every = seconds"),
    ("every = 0\n", "--every must be a number of seconds from 1 to 86400"),
    ("every = inf\n", "--every must be a number of seconds from 1 to 86400"),
    ("domain = 'a.example'\n", "--config {name} has domain = 'a.example'; write domain = [\"...\"]"),
    ("domain = [1]\n", '--config {name} has domain = [1]; write domain = ["..."]'),
    ("domain = ['-a.example']\n", "--domain '-a.example' is no domain name; write it in ASCII, such as example.org"),
    ("mechanism = ['none']\n", "--mechanism 'NONE' is none of SCRAM-SHA-256, EXTERNAL, CRAM-MD5, PLAIN"),
    ("tls = 'yes'\n", "--tls 'yes' is none of starttls, implicit, none"),
    ("tls = true\n", '--config {name} has tls = True; write tls = "..."'),
    ("ca_file = '/nowhere'\n", "--ca-file /nowhere is not there"),
    ("key = '{secret}'\n", "--certificate and --key go together"),
    ("live = true\n", "--live needs the command run: a session that stays never comes to an end"),
    ("user = ''\n", "--config {name} is no TOML: Cannot overwrite a value (at line 5, column 10)"),
    (
        "what is this\n",
        "--config {name} is no TOML: Expected '=' after a key in a key/value pair (at line 5, column 6)",
    ),
]

#: A file that lacks one thing, and what is said of it.
LACKING = [
    ("provider", "--provider is not set; say it, or write it into the --config file"),
    ("deliver", "--deliver is not set; say it, or write it into the --config file"),
    ("user", "--user is not set; it is the name of the credential"),
    ("secret_file", "--secret-file is not set; without a secret or a --certificate nobody can log in"),
]


@pytest.mark.parametrize(("more", "sentence"), BAD_WORDS, ids=[" ".join(more) for more, _ in BAD_WORDS])
def test_each_bad_word_is_a_sentence(secret: Path, more: list[str], sentence: str) -> None:
    with pytest.raises(BadSetting) as bad:
        read(words(secret, *more))
    assert str(bad.value) == sentence


@pytest.mark.parametrize(("more", "sentence"), BAD_FILES, ids=[more.strip() for more, _ in BAD_FILES])
def test_each_bad_file_is_a_sentence(secret: Path, tmp_path: Path, more: str, sentence: str) -> None:
    name = config(tmp_path, secret, more.replace("{secret}", str(secret)))
    with pytest.raises(BadSetting) as bad:
        read(["once", "--config", name])
    assert str(bad.value) == sentence.replace("{name}", name)


@pytest.mark.parametrize(("lacks", "sentence"), LACKING)
def test_each_file_that_lacks_something_is_a_sentence(secret: Path, tmp_path: Path, lacks: str, sentence: str) -> None:
    good = "".join(line for line in GOOD.splitlines(keepends=True) if not line.startswith(lacks))
    with pytest.raises(BadSetting) as bad:
        read(["once", "--config", config(tmp_path, secret, good=good)])
    assert str(bad.value) == sentence


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for name, why in (("/nowhere", "No such file or directory"), (str(tmp_path), "Is a directory")):
        with pytest.raises(BadSetting) as bad:
            read(["once", "--config", name])
        assert str(bad.value) == f"--config {name} cannot be read: {why}"


@pytest.mark.parametrize("arguments", [[], ["once"], ["fly"], ["once", "--every"]])
def test_a_wrong_command_line_is_one_sentence_and_64(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "connector", *arguments], cwd=HERE, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == Exit.USAGE
    assert done.stderr.startswith("odmr-connector: ") and done.stderr.count("\n") == 1


def test_the_mode_and_the_ledger(secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R107: relay with a ledger in the home, if nothing else is said; a pipe has none."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read(words(secret)).ledger == tmp_path / ".local/state/odmr-connector/u@mx.example.ledger"
    assert read(words(secret, "--ledger", str(tmp_path / "x"))).ledger == tmp_path / "x"
    assert read(words(secret, "--ledger", "none")).ledger is None
    pipe = read(words(secret, "--mode", "pipe"))
    assert (pipe.mode, pipe.ledger) == ("pipe", None)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--mode", "tunnel"), "--mode 'tunnel' is none of relay, pipe"),
        (("--mode", "pipe", "--ledger", "x"), "--ledger needs --mode relay: a pipe does not know what was taken"),
        (("--ledger", "/proc/nowhere/x"), "--ledger /proc/nowhere/x cannot be written: "),
    ],
)
def test_a_wrong_mode_or_ledger_is_a_sentence(secret: Path, more: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(BadSetting) as raised:
        read(words(secret, *more))
    assert str(raised.value).startswith(sentence)
