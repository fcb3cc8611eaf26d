"""Timer functions, and retries."""

import logging
import time

import azure.functions as func

app = func.FunctionApp()
logger = logging.getLogger(__name__)


@app.timer_trigger(schedule="%TICKS%", arg_name="timer")
def every_second(timer: func.TimerRequest) -> None:
    logger.info("tick at %.3f past_due=%s", time.time(), timer.past_due)


@app.timer_trigger(schedule="0 0 3 1 1 *", arg_name="timer", run_on_startup=True)
@app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:00:00")
def at_start(timer: func.TimerRequest, context: func.Context) -> None:
    retry = context.retry_context
    # Microsoft's worker and Microsoft's types disagree on the name of this attribute.
    exception = getattr(retry, "rpc_exception", None)
    earlier = exception.message if exception else None
    logger.info("try %s of %s after %s", retry.retry_count, retry.max_retry_count, earlier)
    raise RuntimeError(f"failure {retry.retry_count}")


@app.timer_trigger(schedule="0 0 3 1 1 *", arg_name="timer")
def by_hand(timer: func.TimerRequest) -> None:
    logger.info("run by hand")
