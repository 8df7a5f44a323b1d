"""What verbs share: description and example, options that mean the same, and how one ends early."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pa_harness.errors import EXIT_CODE, RunError, did_you_mean
from pa_harness.storage import plain, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pa_harness.analysis.asked.language import Asked

INTERRUPTED = 130  # the shell's exit code for Ctrl-C
Verbs = Any  # argparse has no public name for what add_subparsers returns
Options = Any  # nor one for a parser or a group of its options, whichever it is


class Help(argparse.RawDescriptionHelpFormatter):
    """Help that fits a screen: an option's name and value once, the newest name alone."""

    def __init__(self, prog: str, **more: Any) -> None:
        super().__init__(prog, **{"max_help_position": 28, **more})

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return super()._format_action_invocation(action)
        named = [name for name in action.option_strings if not name.startswith("--")]
        named += [name for name in action.option_strings if name.startswith("--")][:1]
        value = "" if action.nargs == 0 else f" {self._value(action)}"
        return f"{', '.join(named)}{value}"

    def _value(self, action: argparse.Action) -> str:
        choices = ",".join(map(str, action.choices or ()))
        metavar = action.metavar or (f"{{{choices}}}" if choices else action.dest.upper())
        return f"{metavar} ..." if action.nargs == "+" else str(metavar)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        given, default = action.help, action.default
        unsaid = bool(given and action.option_strings) and "default" not in str(given)
        shown = isinstance(default, (str, int, float)) and not isinstance(default, bool)
        shown = shown and default not in ("", argparse.SUPPRESS)
        return f"{given} (default: %(default)s)" if unsaid and shown else given


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes are told in a line, with the name that was meant.

    A misspelt option is told before what it leaves missing.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": Help, **options})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As the library's, but unknown options end it here, where it is known whose they are."""
        given = list(sys.argv[1:] if args is None else args)
        known = self._option_string_actions
        for word in given:
            name = word.partition("=")[0]
            if not name.startswith("--"):
                if self._subparsers is not None and not name.startswith("-"):
                    break  # a verb's name: what follows is the verb's
                continue
            if name == "--":
                break
            if not any(each.startswith(name) for each in known):
                close = did_you_mean(name, known)
                self.error(f"unknown option {name}. {close}".rstrip())
        parsed, rest = super().parse_known_args(given, namespace)
        if rest:
            self.error(f"there is no place for {' '.join(rest)}.")
        return parsed, rest

    def error(self, message: str) -> NoReturn:
        """End with one message; the whole usage would bury it."""
        wrong = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if wrong:
            close = did_you_mean(wrong[1], re.split(r",\s*", wrong[2].replace("'", "")))
            message = f"{message}. {close}".rstrip()
        self.exit(EXIT_CODE, f"{self.prog}: {message}\nAll of it: {self.prog} --help\n")


def add_verb(
    verbs: Verbs, name: str, act: Callable[[argparse.Namespace], int], about: str, example: str
) -> argparse.ArgumentParser:
    """A verb with its description and an example; `act` gets the parsed options."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=about,
        description=about,
        epilog=f"example:\n  pa-harness {example}",
        prog=f"pa-harness {name}",
        usage=f"pa-harness {name} [options]",
    )
    parser.set_defaults(act=act)
    return parser


def add_output(
    parser: Options, about: str, *old: str, metavar: str = "FOLDER", required: bool = False
) -> None:
    """Where to write: ``--output_path`` in every verb.

    Args:
        parser: of the verb.
        about: the help.
        old: names that the option had, which are still understood.
        metavar: what it names.
        required: whether there is no default.
    """
    names = ("--output_path", "-o", *old)
    parser.add_argument(
        *names, dest="output_path", type=Path, metavar=metavar, required=required, help=about
    )


def add_run_folder(parser: Options) -> None:
    """The folder of a sweep, of the verbs that compute from it."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="--output_path of a sweep")


def add_instruction(parser: Options) -> None:
    """What IF is the mean of, of the verbs that read a run."""
    parser.add_argument(
        "--instruction",
        nargs="+",
        default=(),
        metavar="TASK|JUDGE",
        help="what IF is the mean of: tasks such as ifeval, or judges (folders in "
        "RUN/judgements); their beginnings do; default: all such tasks, or the only judge",
    )


def add_against(parser: Options) -> None:
    """What differences are to, of the verbs that show them."""
    parser.add_argument(
        "--against",
        default="1",
        metavar="λ|NAME",
        help="what differences are to: any λ of the sweep, or a checkpoint by its name (default: "
        "λ = 1)",
    )


def add_asked(parser: Options) -> None:
    """The options."""
    parser.add_argument(
        "--maximize",
        metavar="NAME",
        help="ICL (default), IF, mine, a category, a task or judge, TASK:METRIC, answer_tokens; "
        "=-NAME: as little as possible of it",
    )
    parser.add_argument(
        "--keep",
        nargs="+",
        action="extend",
        metavar="RULE",
        help="'ifeval>=98%%' of it at λ = 1, 'icl>=99%%@0' of it at λ = 0, 'arc_easy>=0.6', "
        "'answer_tokens<=120%%'",
    )
    parser.add_argument(
        "--confidence",
        type=float,
        metavar="P",
        help="with which all is kept, for documents of this kind (default: 0.9)",
    )


def read_asked(options: argparse.Namespace) -> Asked | None:
    """What was asked for; None where nothing was."""
    from pa_harness.analysis.asked.language import Asked

    if options.maximize is None and not options.keep:
        return None
    return Asked(options.maximize or "ICL", tuple(options.keep or ()))


def add_model_args(parser: Options) -> None:
    """The model arguments, of the verbs that open a pair."""
    parser.add_argument(
        "--model_args",
        "-a",
        nargs="+",
        metavar="KEY=VALUE,…",
        help="as for `lm_eval --model partially_adapted`, JSON in braces, too; default: a small "
        "pair (SmolLM2-135M)",
    )


def stopped(left: str) -> int:
    """Say what Ctrl-C has left, and return the exit code for it."""
    print(f"\nStopped. {left}", file=sys.stderr)
    return INTERRUPTED


def say(notes: Iterable[str]) -> None:
    """What must be said beside a verb's own output."""
    for note in notes:
        print(note, file=sys.stderr)


def keep(path: Path, value: object) -> None:
    """Write beside a run what was computed of it and printed; say so where that cannot be done."""
    try:
        write_json(path, plain(value))
    except RunError as error:
        say([f"Not kept: {error}"])


def unwritable(place: Path, error: OSError) -> RunError:
    """The error of a place that the user named to be written to."""
    return RunError(f"{place} cannot be written: {error.strerror}. Name another place.")
