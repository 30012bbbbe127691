"""The sandbox: an emulator of Refer2 that runs here, for rehearsals, tests and benchmarks.

It stands in for Refer2 and does not model the vendor's data. Any id or address is a customer, unless a file says who is
one; no e-mail is sent, and everything is forgotten when it stops. Its memory grows by about 0.7 KB with each distinct
referral. ``GET /_sandbox/calls`` and its log show in full what it received, addresses included, so it belongs on a
loopback address.
"""
