"""The only room that speaks HTTP: calls to Refer2, and what their answers mean.

:mod:`.client` makes the vendor's three calls; :mod:`.transport` and :mod:`.connections` bound one exchange in time and
size; :mod:`.responses` and :mod:`.verification` judge the answers; :mod:`.tokens` signs. Nothing here retries a call:
the dispatcher does, with its ledger. :mod:`.shop_lists` reads lists of a whole shop, for a plan or a report.
"""
