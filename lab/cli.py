"""The lab's command line: `python3 -m lab VERB`."""

import argparse
import os
import signal
import subprocess
import sys

from lab import guest_facts, needs, scenario
from lab.config import from_environment
from lab.errors import LabError
from lab.guests import GUESTS
from lab.session import Session


def main() -> int:
    """Run one verb. A failure prints one line and exits with status 1; Ctrl-C exits with 130."""
    words = _parser().parse_args()
    _handle_signals()
    try:
        status = _VERBS[words.verb](Session(from_environment()), words)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader closed the pipe; Python would report that a second time as it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (LabError, OSError, subprocess.CalledProcessError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        return 130
    return status


def _handle_signals() -> None:
    """Treat SIGTERM and SIGHUP as Ctrl-C: a start that is interrupted is undone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="A real nested stack under emulation.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("deps", help="install the packages that the lab needs, or list them")
    verbs.add_parser("up", help="build the image once, start the host and its first guests")
    verbs.add_parser("down", help="stop everything; the image and the snapshot are kept")
    verbs.add_parser("status", help="show what is running; exit status 3 when the lab is down")
    for verb, text in (
        ("start", "start a guest"),
        ("stop", "stop a guest"),
        ("facts", "show what a guest reads inside itself"),
    ):
        verbs.add_parser(verb, help=text).add_argument("guest", choices=[guest.name for guest in GUESTS])
    verbs.add_parser("nested", help="reload the host's KVM module").add_argument("value", choices=["on", "off"])
    play = verbs.add_parser("scenario", help="enter a scenario, or undo it")
    play.add_argument("name", choices=scenario.names())
    play.add_argument("--undo", action="store_true")
    return parser


def _deps(session: Session, words: argparse.Namespace) -> int:
    del words
    needs.install(session.config.suite.vendor)
    return 0


def _up(session: Session, words: argparse.Namespace) -> int:
    session.up()
    return _status(session, words)


def _down(session: Session, words: argparse.Namespace) -> int:
    del words
    session.down()
    print(f"the {session.config.suite.name} lab is down")
    return 0


def _status(session: Session, words: argparse.Namespace) -> int:
    del words
    if not session.is_up():
        print(f"the {session.config.suite.name} lab is down")
        return 3
    running = session.host.running()
    config = session.config
    print(
        f"{config.suite.name}: emulator {session.emulator.status()}, pid {session.emulator.pid()}, port {config.port}"
    )
    print(f"nested on the host: {'on' if session.host.nested() else 'off'}")
    for guest in GUESTS:
        print(f"  {guest.name:18} {guest.address:15} {'running' if guest.name in running else 'shut off'}")
    entered = sorted(scenario.active(session))
    print(f"active scenarios: {', '.join(entered) or 'none'}")
    print(f"log in: ssh -F {config.ssh_config} lab-l0")
    return 0


def _start(session: Session, words: argparse.Namespace) -> int:
    session.require_up()
    session.start_guest(words.guest)
    return 0


def _stop(session: Session, words: argparse.Namespace) -> int:
    session.require_up()
    session.stop_guest(words.guest)
    return 0


def _facts(session: Session, words: argparse.Namespace) -> int:
    session.require_up()
    print(guest_facts.read(session.host.guest(words.guest)))
    return 0


def _nested(session: Session, words: argparse.Namespace) -> int:
    session.require_up()
    session.set_nested(on=words.value == "on")
    return 0


def _scenario(session: Session, words: argparse.Namespace) -> int:
    session.require_up()
    scenario.play(session, words.name, undo=words.undo)
    return 0


_VERBS = {
    "deps": _deps,
    "up": _up,
    "down": _down,
    "status": _status,
    "start": _start,
    "stop": _stop,
    "facts": _facts,
    "nested": _nested,
    "scenario": _scenario,
}
