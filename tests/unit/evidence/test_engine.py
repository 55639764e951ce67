"""What engines keep of the probe's answers, also where it is hostile, broken or not all there."""

import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nested_kvm.errors import AnswerUnusable, ConnectionFailed, ObservationError, UsageError
from nested_kvm.evidence import import_answers as verb
from nested_kvm.evidence.bundle_file import read_bundle
from nested_kvm.evidence.engine import answers_of_ansible, answers_of_files, answers_of_salt
from nested_kvm.evidence.import_answers import ANSWER_LIMIT, import_answers, main
from nested_kvm.evidence.probe import probe_script
from nested_kvm.evidence.probe.answer import parse_answer_of_any_nonce
from nested_kvm.evidence.reading import Status
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Inventory, Target, TargetLevel
from nested_kvm.model.policy import Policy

pytestmark = pytest.mark.slow

NONCE = "7c0b4f6e-0d1c-4a55-8a0e-000000000001"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def answer(text: bytes = b"0") -> bytes:
    return b"@%b nested-kvm-probe 1\n@%b begin id -u\n%b\n\n@%b end exit 0\n@%b done" % (
        NONCE.encode(),
        NONCE.encode(),
        text,
        NONCE.encode(),
        NONCE.encode(),
    )


def of_salt(value: object) -> bytes | ObservationError:
    return answers_of_salt(json.dumps({"kvm-a": value}).encode())["kvm-a"]


def test_salts_answers_are_one_document_or_one_for_each_minion() -> None:
    static = answers_of_salt(b'{"a": "1", "b": "2"}')
    assert static == answers_of_salt(b'{"a": "1"}\n{\n    "b": "2"\n}\n') == {"a": b"1", "b": b"2"}
    assert of_salt({"ret": "3", "retcode": 0, "jid": "x"}) == b"3"


@pytest.mark.parametrize("value", [False, None, 3, {"ret": False}, ["x"], {}])
def test_a_minion_without_an_answer_could_not_be_looked_at(value: object) -> None:
    found = of_salt(value)
    assert isinstance(found, ConnectionFailed)
    assert str(found).startswith("Salt has no answer from it: ")


@pytest.mark.parametrize(
    "data", [b"", b"  \n", b"{", b"[1]", b'{"a": "1"}x', b'{"a": "1"}{"a": "2"}', b"\xff", b"[" * 100_000]
)
def test_what_is_no_output_of_salt_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError):
        answers_of_salt(data)


def test_bytes_that_are_no_text_arrive_as_in_a_direct_run(tmp_path: Path) -> None:
    """Ansible keeps them as they are; Salt puts U+FFFD there, as a direct run does."""
    raw = answer(b"a\xff\x00\x1b[31m\xc3\xa4")
    quoted = raw.replace(b"\n", b"\\n").replace(b"\x00", b"\\u0000").replace(b"\x1b", b"\\u001b")
    (tmp_path / "kvm-a").write_bytes(b'{"rc": 0, "stdout": "%b"}' % quoted)
    by_ansible = answers_of_ansible(tmp_path)["kvm-a"]
    by_salt = of_salt(raw.decode("utf-8", "replace"))
    assert by_ansible == raw
    assert isinstance(by_salt, bytes)
    assert parse_answer_of_any_nonce(by_salt) == parse_answer_of_any_nonce(raw)


def test_lone_surrogates_are_no_way_to_break_it() -> None:
    assert answers_of_salt(b'{"a": "\\ud800x"}') == {"a": b"?x"}


def test_a_terminals_carriage_returns_are_taken_out_and_no_others() -> None:
    """A file's own come as `\\r\\r\\n` through a terminal."""
    plain = answer(b"options kvm nested=1\r\n# end\r")
    through_a_terminal = plain.replace(b"\n", b"\r\n")
    found = parse_answer_of_any_nonce(through_a_terminal)
    assert found == parse_answer_of_any_nonce(plain)
    assert found.readings["id -u"].text == "options kvm nested=1\r\n# end\r"


def test_no_content_passes_for_a_header_behind_the_first() -> None:
    forged = b"@00000000-forged nested-kvm-probe 1\n@00000000-forged begin id -u\n1\n\n@00000000-forged end exit 0"
    assert parse_answer_of_any_nonce(answer(forged)).readings["id -u"].text == forged.decode()


@pytest.mark.parametrize("data", [b"", b"Minion did not return. [Not connected]", b"@x nested-kvm-probe 1\n"])
def test_what_is_not_the_probes_answer_is_unusable(data: bytes) -> None:
    with pytest.raises(AnswerUnusable):
        parse_answer_of_any_nonce(data)


def test_ansibles_results_are_a_tree_or_what_its_json_callback_printed(tmp_path: Path) -> None:
    results = {
        "kvm-a": {"rc": 0, "stdout": "1"},
        "down": {"unreachable": True, "msg": "no route"},
        "odd": {"failed": True, "msg": "\x1b[31mred"},
    }
    tree = tmp_path / "tree"
    tree.mkdir()
    for name, result in results.items():
        (tree / name).write_text(json.dumps(result))
    callback = tmp_path / "callback.json"
    callback.write_text(json.dumps({"plays": [{"tasks": [{"hosts": results}]}], "stats": {}}))
    by_tree, by_callback = answers_of_ansible(tree), answers_of_ansible(callback)
    assert {name: str(each) for name, each in by_tree.items()} == {
        name: str(each) for name, each in by_callback.items()
    }
    assert by_tree["kvm-a"] == b"1"
    assert str(by_tree["down"]) == "Ansible has no answer from it: no route"
    assert str(by_tree["odd"]) == "Ansible has no answer from it: [31mred"


def test_one_hosts_broken_file_spoils_no_other(tmp_path: Path) -> None:
    (tmp_path / "kvm-a").write_text('{"stdout": "1"}')
    for name, text in {"empty": "", "cut": '{"stdout": "', "list": "[]"}.items():
        (tmp_path / name).write_text(text)
    found = dict(answers_of_ansible(tmp_path))
    assert found.pop("kvm-a") == b"1"
    assert {type(each) for each in found.values()} == {AnswerUnusable}


@pytest.mark.parametrize("text", ["{}", '{"plays": 3}', '{"plays": [{"tasks": [{"hosts": []}]}]}', '{"plays": [{}]}'])
def test_what_is_no_output_of_the_callback_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "out").write_text(text)
    with pytest.raises(UsageError):
        answers_of_ansible(tmp_path / "out")


def test_a_target_is_known_by_its_name_or_by_its_address() -> None:
    targets = [
        Target(name, TargetLevel.L1, Address.parse(f"ssh://{name}.example.net"), Policy()) for name in ("a", "b", "c")
    ]
    bundles = import_answers({"a": answer(), "b.example.net": answer()}, Inventory("fleet", tuple(targets)), NOW)
    assert {each.target.name: each.is_observed for each in bundles} == {"a": True, "b": True, "c": False}


def test_an_answer_has_the_size_limit_of_a_direct_run() -> None:
    (bundle,) = import_answers({"a": answer(b"x" * ANSWER_LIMIT)}, None, NOW)
    assert bundle.failure is not None
    assert bundle.failure.message == "a: its answer is larger than 4 MiB"


def test_an_l0_whose_virsh_was_not_asked_says_what_to_do() -> None:
    target = Target("a", TargetLevel.L0, Address.parse("a"), Policy(), libvirt="qemu:///system")
    (bundle,) = import_answers({"a": answer()}, Inventory("fleet", (target,)), NOW)
    assert bundle.libvirt is not None
    assert bundle.libvirt.not_asked == (
        "the engine's probe did not query virsh for qemu:///system: run it with `always` and the URI"
    )


def test_an_empty_answer_takes_no_evidences_place(tmp_path: Path) -> None:
    """Hosts may come from one engine, and their guests from another."""
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text("hosts:\n  kvm-a: {libvirt: none}\n  kvm-b: {libvirt: none}\n")
    for name, expected in (("kvm-a", 6), ("kvm-b", 0)):
        (tmp_path / "out.json").write_text(json.dumps({name: answer().decode()}))
        words = ["--from=salt", f"--inventory={fleet}", f"--to={tmp_path}/evidence", f"{tmp_path}/out.json"]
        assert main(words) == expected
    found = [read_bundle(path) for path in sorted((tmp_path / "evidence").iterdir())]
    assert [(bundle.target.name, bundle.readings["id -u"].text) for bundle in found] == [("kvm-a", "0"), ("kvm-b", "0")]


def test_names_become_neither_paths_nor_commands_for_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = {"../../escaped": answer().decode(), "<b>": answer().decode(), "down": "\x1b]0;title\x07"}
    (tmp_path / "out.json").write_text(json.dumps(hostile))
    assert main(["--from=salt", f"--to={tmp_path}/evidence", f"{tmp_path}/out.json"]) == 6
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.json")}
    names = ("%2E.%2F..%2Fescaped", "%3Cb%3E", "down")
    assert written == {"out.json", *(f"evidence/{name}.json" for name in names)}
    printed = capsys.readouterr()
    assert {letter for letter in printed.out + printed.err if not letter.isprintable()} == {"\n"}
    (tmp_path / "out.json").write_text(json.dumps({"a\x1b[2J": ""}))
    assert main(["--from=salt", f"--to={tmp_path}/evidence", f"{tmp_path}/out.json"]) == 4


@pytest.mark.parametrize(
    "words", [["--from=files", "nowhere"], ["--from=salt", "nowhere"], ["--from=ansible", "nowhere"]]
)
def test_answers_that_are_not_there_are_a_wrong_usage(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words[:-1], f"--to={tmp_path}/evidence", f"{tmp_path}/nowhere"]) == 4
    assert "nowhere" in capsys.readouterr().err
    assert not (tmp_path / "evidence").exists()


def test_whatever_runs_a_script_can_collect(tmp_path: Path) -> None:
    """Plain files, each named for its target, hold what a real probe printed; virsh was asked of a URI."""
    (tmp_path / "answers").mkdir()
    command = ["sh", "-s", "--", "", "10", "always", "test:///default"]
    printed = subprocess.run(command, input=probe_script().encode(), capture_output=True, check=True).stdout
    (tmp_path / "answers" / "here").write_bytes(printed)
    assert answers_of_files(tmp_path / "answers") == {"here": printed}
    assert main(["--from=files", f"--to={tmp_path}/evidence", f"{tmp_path}/answers"]) == 0
    bundle = read_bundle(tmp_path / "evidence" / "here.json")
    assert bundle.readings["uname -m"].status is Status.OK
    assert not [source for source in bundle.readings if source.startswith("virsh")]


def test_a_pipe_holds_what_was_collected_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = json.dumps({"a": answer().decode()}).encode()
    monkeypatch.setattr(verb, "read_whole", lambda path: io.BytesIO(whole).read() if str(path) == "-" else b"")
    before = datetime.now(UTC)
    assert main(["--from=salt", f"--to={tmp_path}/evidence", "-"]) == 0
    assert read_bundle(tmp_path / "evidence" / "a.json").observed_at >= before


def test_the_printed_probe_takes_its_arguments_along() -> None:
    """For an engine, which hands over a text and no arguments."""
    words = [sys.executable, "-m", "nested_kvm.evidence.probe", "a-nonce-that's-mine", "5", "always", "test:///default"]
    script = subprocess.run(words, capture_output=True, check=True).stdout
    printed = subprocess.run(["sh"], input=script, capture_output=True, check=True).stdout
    assert printed.startswith(b"@a-nonce-that's-mine nested-kvm-probe 1\n")
    assert b"begin virsh -r -c test:///default list --all --uuid" in printed
    alone = subprocess.run([*words[:3], ""], capture_output=True, check=True).stdout
    of_itself = subprocess.run(["sh"], input=alone, capture_output=True, check=True).stdout
    assert "uname -m" in parse_answer_of_any_nonce(of_itself).readings
