"""An app with one function that runs here and several that do not."""

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="works")
def works(req: func.HttpRequest) -> str:
    return "it does"


@app.route(route="switched-off")
def switched_off(req: func.HttpRequest) -> str:
    return "never"


@app.queue_trigger(arg_name="message", queue_name="q", connection="STORAGE")
def storage_queue(message: func.QueueMessage) -> None:
    pass


@app.route(route="writes")
@app.queue_output(arg_name="out", queue_name="q", connection="STORAGE")
def writes(req: func.HttpRequest, out: func.Out[str]) -> str:
    return "no"


@app.route(route="{id:nonsense}")
def bad_route(req: func.HttpRequest) -> str:
    return "no"


@app.timer_trigger(schedule="not a schedule", arg_name="timer")
def bad_schedule(timer: func.TimerRequest) -> None:
    pass


@app.service_bus_queue_trigger(arg_name="message", queue_name="q", connection="MISSING_SETTING")
def no_connection(message: func.ServiceBusMessage) -> None:
    pass
