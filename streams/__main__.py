"""`python -m streams --stage capture|prepare|apply|hide|all|builds`: builds what a stage runs on, and runs it.

`all` supervises one process of each stage and starts again what ends by itself; `builds` does so for the builds of the
index that index.generations names beside the one of the settings. Start-up refuses what does not fit
together: one line on standard error, exit code 1.
"""

import argparse
import asyncio
import sys

from schemas.errors import MillstreamError
from streams import supervisor


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and run. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m streams",
        description="Run a stage: capture turns rows of tables into changes, prepare turns changes into mutations, "
        "apply makes mutations visible in the index, hide lets deletes and acls run ahead of the queue.",
        epilog="Settings are MILLSTREAM_* variables; `millstream up` sets them and starts all of them.",
    )
    parser.add_argument(
        "--stage", required=True, choices=(*supervisor.STAGES, "all", "builds"), help="which stage to run"
    )
    parser.add_argument("--log-name", help="name of its log, where several processes of a stage have one folder")
    parser.add_argument("--leashed", action="store_true", help="end when standard input ends (the supervisor sets it)")
    options = parser.parse_args(arguments)
    if options.leashed:
        supervisor.end_with_standard_input()
    try:
        return asyncio.run(_run(options.stage, options.log_name or f"streams-{options.stage}"))
    except MillstreamError as error:
        print(f"streams: {error}", file=sys.stderr)
        return 1


async def _run(stage: str, log_name: str) -> int:
    # Imported here: what a stage needs takes a second, and the leash must hold from the first moment.
    from runtime.faults import arm
    from runtime.logs import configure
    from runtime.metrics import Metrics
    from runtime.settings import load_settings

    settings, metrics = load_settings(), Metrics()
    configure(settings, log_name, metrics)
    arm(settings.faults_dir, stage, settings.state_dir)
    if stage == "all":
        return await supervisor.supervise(supervisor.STAGES, metrics_port=settings.metrics_port)
    if stage == "builds":
        from streams.builds import keep_builds

        return await keep_builds(settings, metrics)
    from streams import stages
    from streams.awaiting import until_parts_answer
    from streams.stage_parts import APPLY

    await until_parts_answer(settings, store=stage == APPLY)
    process = await stages.build(stage, settings, metrics)
    code = await process.run()
    supervisor.end_at_last(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
