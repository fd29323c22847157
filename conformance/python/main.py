"""Answers the harness's requests (../program_test.go), one JSON object a line, with the
official providers of Python."""

import json
import sys
import threading

from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import CacheType, ResolverType
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent

client = api.get_client()
output = threading.Lock()  # events come from the providers' threads


def send(**message):
    line = json.dumps({k: v for k, v in message.items() if v is not None})
    with output:
        print(line, flush=True)


def provider(request):
    selector = request.get("selector")
    if request["provider"] == "ofrep":
        headers = {"Flagd-Selector": selector} if selector else {}
        return OFREPProvider(
            f"http://{request['host']}:{request['port']}", headers_factory=lambda: headers
        )
    return FlagdProvider(
        resolver_type=ResolverType(request["provider"]),
        host=request["host"],
        port=request["port"],
        selector=selector,
        cache=CacheType.LRU if request.get("cache") else CacheType.DISABLED,
        deadline_ms=request["deadline_ms"],
        retry_backoff_ms=request["backoff_ms"],
        retry_backoff_max_ms=request["backoff_ms"],
    )


def connect(request):
    for event in ProviderEvent:
        client.add_handler(
            event,
            lambda details, event=event: send(
                event=event.name, flags=details.flags_changed, error=details.message
            ),
        )
    api.set_provider_and_wait(provider(request))
    return {}


resolve = {
    "boolean": client.get_boolean_details,
    "string": client.get_string_details,
    "integer": client.get_integer_details,
    "double": client.get_float_details,
    "object": client.get_object_details,
}


def evaluate(request):
    attributes = dict(request.get("context") or {})
    context = EvaluationContext(attributes.pop("targetingKey", None), attributes)
    details = resolve[request["type"]](request["flag"], request["fallback"], context)
    return {
        "value": details.value,
        "variant": details.variant,
        "reason": details.reason,
        "error_code": details.error_code,
        "error_message": details.error_message,
        "metadata": dict(details.flag_metadata),
    }


def status(_):
    return {"status": client.get_provider_status().value}


operations = {"connect": connect, "evaluate": evaluate, "status": status}

for line in sys.stdin:
    request = json.loads(line)
    try:
        send(id=request["id"], **operations[request["op"]](request))
    except Exception as error:  # noqa: BLE001: whatever a provider raises is the answer
        send(id=request["id"], error=f"{type(error).__name__}: {error}")
api.shutdown()
