"""The brokers that stand side by side: each started by one call, measured from outside."""
