"""The state that decides whether a call may start: limits per scope and the ledger of jobs.

``base`` holds the protocol and its answers; ``memory`` serves one process.
"""
