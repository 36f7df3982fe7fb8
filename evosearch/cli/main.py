"""The commands: parsing, and what becomes of errors."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from evosearch import __version__
from evosearch.cli.inspect_parts import PARTS
from evosearch.cli.interrupted import LINE, interruptible, no_more
from evosearch.runtime import one_thread_each

SUCCESS, FAILED, BAD_INPUT = 0, 1, 2


class _Parser(argparse.ArgumentParser):
    """Errors in one line, as everywhere else."""

    def error(self, message: str) -> NoReturn:
        from evosearch.cli.console import print_error

        print_error(f"{message}; see `{self.prog} --help`")
        raise SystemExit(BAD_INPUT)


def _command(
    commands: argparse._SubParsersAction[_Parser], name: str, summary: str, example: str
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def make_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = _Parser(
        prog="evosearch",
        description="Discover neural-network optimizers by evolving programs.",
        epilog="PROGRAM is a file, a shipped name (adamw, lion, ...) or RUN:ID. RUN is a run's folder.",
    )
    parser.add_argument("--version", action="version", version=f"evosearch {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    search = _command(
        commands,
        "search",
        "run a search from a YAML file; Ctrl-C stops it cleanly, --resume goes on",
        "evosearch search configs/quickstart.yaml --set search.budget.minutes=1 --out runs/first",
    )
    search.add_argument("config", metavar="CONFIG.yaml", help="the search; with --resume also a run's folder")
    search.add_argument(
        "--out", metavar="DIR", help="the run's folder (default: runs/NAME, numbered if taken)"
    )
    search.add_argument(
        "--resume",
        action="store_true",
        help="go on with a run: the folder named, or --out, or the latest of NAME",
    )
    search.add_argument(
        "--elsewhere",
        action="store_true",
        help="with --resume: go on although versions or the processor are others than the run was made with",
    )
    search.add_argument(
        "--set", action="append", default=[], metavar="a.b.0.c=value", help="change a value of the YAML"
    )
    _add_json(search)
    search.set_defaults(run=_run_search)

    inspect = _command(
        commands,
        "inspect",
        "show what a run found and how, a program in full, or compare two",
        "evosearch inspect runs/quickstart\n  evosearch inspect runs/quickstart --lineage --mutations\n"
        "  evosearch inspect runs/quickstart:1234 --ideas\n  evosearch inspect adamw lion",
    )
    inspect.add_argument("what", metavar="RUN|PROGRAM", nargs="+", help="one of them, or two to compare")
    for name, part in PARTS.items():
        inspect.add_argument(f"--{name}", action="append_const", dest="parts", const=name, help=part.summary)
    inspect.add_argument(
        "--all", action="store_const", dest="parts", const=list(PARTS), help="all of these, of a run"
    )
    inspect.add_argument(
        "--all-steps", action="store_true", help="--lineage with the steps that did not matter"
    )
    inspect.add_argument(
        "--top", type=_positive, default=10, metavar="N", help="how many programs (default: 10)"
    )
    inspect.add_argument("--plot", metavar="FILE.png", help="draw a run: its curves and mutations")
    _add_json(inspect)
    inspect.set_defaults(run=_run_inspect)

    export = _command(
        commands,
        "export",
        "print a program as source for optax, PyTorch, JAX or LaTeX, or write it to a file",
        "evosearch export lion --to optax\n"
        "  evosearch export runs/quickstart:1234 --to torch -o mine.py --name mine",
    )
    export.add_argument("what", metavar="PROGRAM", help="a file, a shipped name or RUN:ID")
    export.add_argument("--to", required=True, metavar="TARGET", help="optax, torch, jax or latex")
    export.add_argument("-o", "--out", metavar="FILE", help="write a new file instead of printing the source")
    export.add_argument("--name", metavar="NAME", help="of the function or class (default: the program's)")
    export.add_argument("--force", action="store_true", help="overwrite FILE")
    export.set_defaults(run=_run_export)

    tasks = _command(
        commands,
        "tasks",
        "list the proxy tasks, what they cost, and their knobs",
        "evosearch tasks\n  evosearch tasks digits_vit char_gru --preset x10 --measure",
    )
    tasks.add_argument("names", metavar="TASK", nargs="*", help="tasks (default: all)")
    tasks.add_argument(
        "--preset", default="tiny", metavar="P", help="size: tiny, x10 or x100 (default: tiny)"
    )
    tasks.add_argument("--measure", action="store_true", help="train each here and say how long that takes")
    _add_json(tasks)
    tasks.set_defaults(run=_run_tasks)

    primitives = _command(
        commands, "primitives", "list the primitives that programs are made of", "evosearch primitives"
    )
    _add_json(primitives)
    primitives.set_defaults(run=_run_primitives)

    tune = _command(
        commands,
        "tune",
        "tune optax's optimizers on tasks; Ctrl-C stops, the same command goes on",
        "evosearch tune --task digits_mlp --reference adamw lion --repeats 1",
    )
    tune.add_argument(
        "--task", action="extend", nargs="+", default=[], metavar="NAME", help="tasks (default: all)"
    )
    _add_task_options(tune)
    tune.add_argument(
        "--reference",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME",
        help="optimizers of optax (default: all)",
    )
    tune.add_argument(
        "--repeats", type=_positive, default=2, metavar="N", help="independent tunings (default: 2)"
    )
    tune.add_argument(
        "--settings", type=_positive, default=96, metavar="N", help="settings in each tuning (default: 96)"
    )
    tune.add_argument(
        "--finalists",
        type=_positive,
        default=6,
        metavar="N",
        help="settings that get further seeds (default: 6)",
    )
    tune.add_argument(
        "--finalist-seeds",
        type=_positive,
        default=6,
        metavar="N",
        help="how many further seeds (default: 6)",
    )
    tune.add_argument(
        "--seeds", type=_several, default=16, metavar="N", help="fresh seeds in the end (default: 16)"
    )
    tune.add_argument(
        "--rivals",
        nargs=2,
        default=[],
        metavar="NAME",
        help="train nothing; say from the records where the first of two references beats the second",
    )
    tune.add_argument("--out", metavar="DIR", help="where trainings are kept (default: studies/tune)")
    tune.add_argument("--file", metavar="FILE.json", help="the records (default: those that evosearch ships)")
    _add_workers(tune)
    _add_json(tune)
    tune.set_defaults(run=_run_tune)

    compare = _command(
        commands,
        "compare",
        "compare optimizers on a task, all tuned alike; Ctrl-C stops, the same command goes on",
        "evosearch compare program8 optax:lion --task digits_mlp --plot curves.png",
    )
    compare.add_argument("names", metavar="PROGRAM|optax:NAME", nargs="+", help="who is compared")
    compare.add_argument(
        "--task", required=True, metavar="NAME", help="where, as `evosearch tasks` lists them"
    )
    _add_task_options(compare)
    compare.add_argument("--seeds", type=_several, default=16, metavar="N", help="fresh seeds (default: 16)")
    compare.add_argument(
        "--baseline",
        default="optax:adamw",
        metavar="PROGRAM|optax:NAME",
        help="whom all are compared with (default: optax:adamw)",
    )
    compare.add_argument(
        "--tune",
        type=_count,
        default=96,
        metavar="N",
        help="settings in each tuning; 0 for programs as they are (default: 96)",
    )
    compare.add_argument(
        "--sweep",
        action="append",
        default=[],
        choices=["lr,wd", "batch"],
        help="also draw the metric around the tuned setting, or at other batch sizes",
    )
    compare.add_argument("--out", metavar="DIR", help="where it is kept (default: studies/compare-TASK)")
    compare.add_argument("--plot", metavar="FILE.png", help="draw learning curves and final metrics")
    compare.add_argument(
        "--file", metavar="FILE.json", help="tuned references (default: those that evosearch ships)"
    )
    _add_workers(compare)
    _add_json(compare)
    compare.set_defaults(run=_run_compare)

    fidelity = _command(
        commands,
        "fidelity",
        "ask whether small tasks rank optimizers as larger ones do; Ctrl-C stops, the same command goes on",
        "evosearch fidelity --preset tiny x10 --run runs/quickstart\n  evosearch fidelity --report-only",
    )
    fidelity.add_argument(
        "--task", action="extend", nargs="+", default=[], metavar="NAME", help="tasks (default: all)"
    )
    fidelity.add_argument(
        "--preset", action="extend", nargs="+", default=[], metavar="P", help="sizes (default: all)"
    )
    fidelity.add_argument(
        "--run",
        action="extend",
        nargs="+",
        default=[],
        dest="runs",
        metavar="RUN",
        help="sample programs of these runs",
    )
    fidelity.add_argument(
        "--sample", type=_positive, default=8, metavar="N", help="how many of each (default: 8)"
    )
    fidelity.add_argument("--out", metavar="DIR", help="where trainings are kept (default: studies/fidelity)")
    fidelity.add_argument(
        "--file", metavar="FILE.json", help="the measurements (default: those that evosearch ships)"
    )
    fidelity.add_argument("--plot", metavar="FILE.png", help="draw the correlations")
    fidelity.add_argument(
        "--portfolio",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME",
        help="say how well these small tasks together predict the larger ones (with --report-only those that "
        "--task and --preset name)",
    )
    fidelity.add_argument(
        "--report-only", action="store_true", help="train nothing, say what the measurements show"
    )
    _add_workers(fidelity)
    _add_json(fidelity)
    fidelity.set_defaults(run=_run_fidelity)

    funnel = _command(
        commands,
        "funnel",
        "find out which programs really are better, on larger tasks; Ctrl-C stops, the same command goes on",
        "evosearch funnel configs/funnel.yaml runs/portfolio\n"
        "  evosearch funnel configs/funnel.yaml runs/a runs/b:1234 found/ lion --out funnels/first\n"
        "  evosearch funnel --simulate 1000   # its error rates and power where the truth is known",
    )
    funnel.add_argument("config", metavar="CONFIG.yaml", nargs="?", help="the funnel")
    funnel.add_argument(
        "what", metavar="RUN|FOLDER|PROGRAM", nargs="*", help="who goes in, besides the YAML's planted ones"
    )
    funnel.add_argument("--out", metavar="DIR", help="the funnel's folder (default: funnels/NAME)")
    funnel.add_argument(
        "--set", action="append", default=[], metavar="a.b.0.c=value", help="change a value of the YAML"
    )
    funnel.add_argument(
        "--simulate",
        type=_positive,
        metavar="N",
        help="train nothing; say how N funnels do on simulated scores whose truth is known",
    )
    _add_json(funnel)
    funnel.set_defaults(run=_run_funnel)

    overfitting = _command(
        commands,
        "overfitting",
        "ask where along a search its best program stops getting better on a larger task; Ctrl-C stops, the "
        "same command goes on",
        "evosearch overfitting runs/quickstart --task char_mlp --plot overfitting.png\n"
        "  evosearch overfitting runs/a runs/b runs/c --task char_transformer --points 20",
    )
    overfitting.add_argument("runs", metavar="RUN", nargs="+", help="finished or growing runs")
    overfitting.add_argument("--task", required=True, metavar="NAME", help="the meta-validation task")
    overfitting.add_argument(
        "--preset", default="x10", metavar="P", help="its size: tiny, x10, x100 (default: x10)"
    )
    overfitting.add_argument(
        "--set", action="append", default=[], metavar="knob=value", help="a knob of the task"
    )
    overfitting.add_argument(
        "--points",
        type=_positive,
        default=10,
        metavar="N",
        help="points along each run, besides its warm start (default: 10)",
    )
    overfitting.add_argument(
        "--seeds",
        type=_several,
        default=8,
        metavar="N",
        help="fresh seeds to find the peak, and as many for the report (default: 8)",
    )
    overfitting.add_argument(
        "--tune",
        type=_count,
        default=12,
        metavar="N",
        help="settings in each tuning; 0 for programs as they are (default: 12)",
    )
    overfitting.add_argument(
        "--out", metavar="DIR", help="where trainings are kept (default: studies/overfitting)"
    )
    overfitting.add_argument("--plot", metavar="FILE.png", help="draw scores along the runs, and their peaks")
    _add_workers(overfitting)
    _add_json(overfitting)
    overfitting.set_defaults(run=_run_overfitting)

    simplify = _command(
        commands,
        "simplify",
        "simplify a program, or a run's best one, each step named; Ctrl-C stops, the same command goes on",
        "evosearch simplify program8\n"
        "  evosearch simplify runs/quickstart --without ablation constants   # no training, a second",
    )
    simplify.add_argument("what", metavar="PROGRAM|RUN", help="what is simplified")
    parts = "redundant, ablation, algebra, constants, names"
    simplify.add_argument(
        "--parts", action="extend", nargs="+", default=[], metavar="PART", help=f"{parts} (default: all)"
    )
    simplify.add_argument(
        "--without", action="extend", nargs="+", default=[], metavar="PART", help="all parts but these"
    )
    simplify.add_argument(
        "--task",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME",
        help="where it is measured (default: the run's tasks, or char_mlp and char_transformer)",
    )
    _add_task_options(simplify)
    simplify.add_argument(
        "--margin",
        type=float,
        default=0.005,
        metavar="SHARE",
        help="the loss that is one too many (default: 0.005)",
    )
    simplify.add_argument(
        "--confidence", type=float, default=0.95, metavar="P", help="that less is lost (default: 0.95)"
    )
    simplify.add_argument(
        "--seeds", type=_positive, default=128, metavar="N", help="the most seeds of a test (default: 128)"
    )
    simplify.add_argument(
        "--digits", type=_positive, default=3, metavar="N", help="that constants keep at least (default: 3)"
    )
    simplify.add_argument(
        "--budget", type=_positive, default=20_000, metavar="N", help="the most trainings (default: 20000)"
    )
    simplify.add_argument(
        "--method",
        choices=["removals", "evolution"],
        default="removals",
        help="of ablation: try every removal, or evolve by deletion and modification (default: removals)",
    )
    simplify.add_argument("-o", dest="output", metavar="FILE.py", help="write the program there")
    simplify.add_argument("--out", metavar="DIR", help="where trainings are kept (default: studies/simplify)")
    _add_workers(simplify)
    _add_json(simplify)
    simplify.set_defaults(run=_run_simplify)

    bench = _command(
        commands,
        "bench",
        "measure speed side by side with the alternatives, in one run",
        "evosearch bench step engine",
    )
    bench.add_argument(
        "parts",
        metavar="PART",
        nargs="*",
        help="step, candidate, engine, saved, scaling, start, batched, leaks, view (default: all)",
    )
    bench.add_argument(
        "--task",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME",
        help="tasks for step and candidate, or all (default: four)",
    )
    _add_json(bench)
    bench.set_defaults(run=_run_bench)
    return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def _add_task_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", metavar="P", help="size of the tasks: tiny, x10, x100 (default: tiny)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="knob=value", help="a knob of the tasks"
    )


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backend", choices=["ray", "in_process"], default="ray", help="who computes (default: ray)"
    )
    parser.add_argument(
        "--workers", type=_positive, metavar="N", help="how many (default: one for each core)"
    )


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, found {text!r}")
    return int(text)


def _several(text: str) -> int:
    if not text.isdigit() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"expected a number of at least 2, found {text!r}")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, found {text!r}")
    return int(text)


# Each command is imported when it is used, so that `--help` and mistakes answer at once.


def _run_search(args: argparse.Namespace) -> int:
    from evosearch.cli.search import search_command

    return search_command(
        args.config, args.out, args.set, args.json, resume=args.resume, elsewhere=args.elsewhere
    )


def _run_inspect(args: argparse.Namespace) -> int:
    from evosearch.cli.inspect import inspect_command

    parts = [name for name in PARTS if name in (args.parts or ())]
    return inspect_command(args.what, parts, args.all_steps, args.top, args.plot, args.json)


def _run_export(args: argparse.Namespace) -> int:
    from evosearch.cli.export import export_command

    return export_command(args.what, args.to, args.out, args.name, args.force)


def _run_tasks(args: argparse.Namespace) -> int:
    from evosearch.cli.tables import tasks_command

    return tasks_command(args.names, args.preset, args.measure, args.json)


def _run_primitives(args: argparse.Namespace) -> int:
    from evosearch.cli.tables import primitives_command

    return primitives_command(args.json)


def _run_tune(args: argparse.Namespace) -> int:
    from evosearch.cli.tune import tune_command

    return tune_command(
        args.task,
        args.preset,
        args.set,
        args.reference,
        args.repeats,
        args.settings,
        args.finalists,
        args.finalist_seeds,
        args.seeds,
        args.out,
        args.file,
        args.rivals,
        args.backend,
        args.workers or "auto",
        args.json,
    )


def _run_compare(args: argparse.Namespace) -> int:
    from evosearch.cli.compare import compare_command

    return compare_command(
        args.names,
        args.task,
        args.preset,
        args.set,
        args.seeds,
        args.baseline,
        args.tune,
        args.sweep,
        args.out,
        args.plot,
        args.file,
        args.backend,
        args.workers or "auto",
        args.json,
    )


def _run_fidelity(args: argparse.Namespace) -> int:
    from evosearch.cli.fidelity import fidelity_command

    return fidelity_command(
        args.task,
        args.preset,
        args.runs,
        args.sample,
        args.out,
        args.file,
        args.plot,
        args.report_only,
        args.portfolio,
        args.backend,
        args.workers or "auto",
        args.json,
    )


def _run_funnel(args: argparse.Namespace) -> int:
    if args.simulate:
        from evosearch.cli.funnel_simulation import simulation_command

        return simulation_command(args.simulate, args.json)
    if args.config is None:
        from evosearch.errors import ConfigError

        raise ConfigError("expected CONFIG.yaml, such as configs/funnel.yaml; or --simulate N")
    from evosearch.cli.funnel import funnel_command

    return funnel_command(args.config, args.what, args.set, args.out, args.json)


def _run_overfitting(args: argparse.Namespace) -> int:
    from evosearch.cli.overfitting import overfitting_command

    return overfitting_command(
        args.runs,
        args.task,
        args.preset,
        args.set,
        args.points,
        args.seeds,
        args.tune,
        args.out,
        args.plot,
        args.backend,
        args.workers or "auto",
        args.json,
    )


def _run_simplify(args: argparse.Namespace) -> int:
    from evosearch.cli.simplify import simplify_command

    return simplify_command(
        args.what,
        args.parts,
        args.without,
        args.task,
        args.preset,
        args.set,
        args.margin,
        args.confidence,
        args.seeds,
        args.digits,
        args.budget,
        args.method,
        args.output,
        args.out,
        args.backend,
        args.workers or "auto",
        args.json,
    )


def _run_bench(args: argparse.Namespace) -> int:
    from evosearch.cli.bench import bench_command

    return bench_command(args.parts, args.task, args.json)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0, or 1 where something failed, or 2 where the input was bad.
    """
    args = make_parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = args.run
    if "jaxlib" not in sys.modules:
        one_thread_each()
    from evosearch.cli.console import print_error
    from evosearch.errors import EvosearchError

    try:
        with interruptible():
            return command(args)
    except EvosearchError as error:
        print_error(str(error))
        return BAD_INPUT
    except KeyboardInterrupt:
        no_more()
        print_error(LINE)
        return FAILED
    except BrokenPipeError:
        # Whoever read our output has gone, as in `evosearch primitives | head`.
        sys.stderr.close()
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
