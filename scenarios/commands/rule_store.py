"""`localist rules propose|activate|rollback|versions|key`: a store of rule versions, by hand."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenarios.commands.arguments import Exit, json_argument, print_json
from scenarios.commands.rule_files import FORMS, rule_set
from scenarios.config import ConfigError

if TYPE_CHECKING:
    from scenarios.commands.arguments import Commands
    from symbolic.reloading.journal import History
    from symbolic.reloading.judging import Judgement


def add(actions: Commands) -> None:
    """Declare the commands."""
    propose = actions.add_parser(
        "propose", help="have rules proved and compared with the live ones of a store, which is made if there is none"
    )
    propose.add_argument("store", type=Path, metavar="STORE", help="directory of a rule store")
    propose.add_argument("new", metavar="NEW", help=FORMS)
    propose.add_argument("--role", help="role of a scenario with several")
    propose.add_argument("--activate", action="store_true", help="make them live at once if they are accepted")
    propose.add_argument("--lenient", action="store_true", help="accept what nothing is shown to be wrong with")
    activate = actions.add_parser("activate", help="make an accepted version live, or one that was live before")
    activate.add_argument("store", type=Path, metavar="STORE", help="directory of a rule store")
    activate.add_argument("version", metavar="VERSION", help="its hash, or the first 8 or more digits")
    rollback = actions.add_parser("rollback", help="make the version before the live one live again")
    rollback.add_argument("store", type=Path, metavar="STORE", help="directory of a rule store")
    versions = actions.add_parser("versions", help="what became of every version of a store")
    versions.add_argument("store", type=Path, metavar="STORE", help="directory of a rule store")
    key = actions.add_parser("key", help="make a key that proposals are signed with; prints its line of a trust file")
    key.add_argument("file", type=Path, metavar="FILE", help="new file, which its owner alone can read")
    key.add_argument("--name", default="operator", help="who it speaks for (default operator)")
    key.set_defaults(command=_key)
    for command, function in ((propose, _propose), (activate, _activate), (rollback, _rollback), (versions, _versions)):
        if command is not versions:
            command.add_argument("--by", default="", metavar="NAME", help="who asks for it, for the journal")
        json_argument(command)
        command.set_defaults(command=function)


def _propose(arguments: argparse.Namespace) -> Exit:
    from scenarios.report.table import print_rich
    from scenarios.report.versions import judged
    from symbolic.reloading.archive import JOURNAL
    from symbolic.reloading.store import RuleStore

    rules, safe_stop = rule_set(arguments.new, arguments.role)
    is_strict = not arguments.lenient
    if not (arguments.store / JOURNAL).exists():
        return _created(arguments, rules, safe_stop, is_strict)
    store: RuleStore[Any, Any]
    with RuleStore.open(arguments.store, safe_stop=safe_stop, is_strict=is_strict) as store:
        found = store.propose(rules.to_json(), by=arguments.by).result()
        if found.is_accepted and arguments.activate:
            store.activate(found.sha256, by=arguments.by)
        live = store.live.sha256
    print_json(_record(found, live)) if arguments.json else print_rich(judged(found, live))
    return Exit.PASS if found.is_accepted else Exit.FAILED


def _created(arguments: argparse.Namespace, rules: Any, safe_stop: Any, is_strict: bool) -> Exit:
    """The first version of a new store, if it can be proved."""
    from scenarios.report.table import print_rich
    from scenarios.report.versions import judged
    from symbolic.reloading.judging import judge
    from symbolic.reloading.store import RuleStore

    found = judge(rules.to_json(), rules, safe_stop, is_strict)
    if found.is_accepted:
        RuleStore.create(arguments.store, rules, safe_stop=safe_stop, is_strict=is_strict, by=arguments.by).close()
    live = found.sha256 if found.is_accepted else ""
    print_json(_record(found, live)) if arguments.json else print_rich(judged(found, live))
    return Exit.PASS if found.is_accepted else Exit.FAILED


def _activate(arguments: argparse.Namespace) -> Exit:
    from symbolic.reloading.store import ReloadError, RuleStore

    store: RuleStore[Any, Any]
    with RuleStore.open(arguments.store) as store:
        sha256 = version_of(store.history, arguments.version)
        try:
            before = store.activate(sha256, by=arguments.by).sha256
        except ReloadError as error:
            return _refused(arguments, error)
        return _swapped(arguments, before, store.live.sha256)


def _rollback(arguments: argparse.Namespace) -> Exit:
    from symbolic.reloading.store import ReloadError, RuleStore

    store: RuleStore[Any, Any]
    with RuleStore.open(arguments.store) as store:
        try:
            before = store.roll_back(by=arguments.by).sha256
        except ReloadError as error:
            return _refused(arguments, error)
        return _swapped(arguments, before, store.live.sha256)


def _key(arguments: argparse.Namespace) -> Exit:
    from agents.messaging import Identity, Trust

    identity = Identity.generate()
    trust = Trust({arguments.name: identity.public})
    identity.save(arguments.file)
    print("".join(f"{name} {public}" for name, public in trust.keys.items()))
    return Exit.PASS


def _refused(arguments: argparse.Namespace, error: Any) -> Exit:
    rejection = error.rejection
    if arguments.json:
        print_json({"live": None, "rejection": {"cause": rejection.cause.value, "text": rejection.text}})
    else:
        print(f"refused, {rejection.cause}: {rejection.text}")
    return Exit.FAILED


def _swapped(arguments: argparse.Namespace, before: str, live: str) -> Exit:
    if arguments.json:
        print_json({"before": before, "live": live})
    else:
        print(f"live: {live[:16]}, before: {before[:16]}")
    return Exit.PASS


def _versions(arguments: argparse.Namespace) -> Exit:
    from dataclasses import asdict

    from scenarios.report.table import print_rich
    from scenarios.report.versions import versions
    from symbolic.reloading.archive import load_history

    history, _ = load_history(arguments.store)
    if arguments.json:
        entries = [{**asdict(entry), "hash": entry.hash} for entry in history.entries]
        print_json({"live": history.live, "accepted": dict(history.accepted), "entries": entries})
    else:
        print_rich(versions(history))
    return Exit.PASS


def version_of(history: History, given: str) -> str:
    """The version of a store that a user means.

    Raises:
        ConfigError: none, or more than one.
    """
    found = [sha256 for sha256 in history.versions if len(given) >= 8 and sha256.startswith(given)]
    if len(found) != 1:
        names = ", ".join(sha256[:16] for sha256 in history.versions)
        raise ConfigError(f"expected the first 8 or more digits of one version ({names}), got `{given:.80}`")
    return found[0]


def _record(found: Judgement, live: str) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "sha256": found.sha256,
        "live": live,
        "rejection": None if found.rejection is None else asdict(found.rejection),
        "report": None if found.report is None else found.report.record(),
        "difference": None if found.difference is None else found.difference.record(),
    }
