"""The log inside a Python process: `headrace.open`, the in-process `Broker`, the pytest plugin."""
