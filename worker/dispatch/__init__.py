"""The use case: one granted job, one call, one disposition.

:mod:`.dispatcher` makes the call and decides, :mod:`.verification` finds out what became of a call whose answer was
lost, :mod:`.recorder` writes every outcome into the ledger, :mod:`.results` makes the result's document.

The promise "called once, one result" rests on the order of the steps, across all of them::

    the store grants        the ledger says `started`, with a lease and an epoch: nobody else calls meanwhile
    dispatch calls          only within the grant's 250 ms, so the lease outlasts the longest call
    dispatch records        `answered` with the result, `waiting`, or released, always with the epoch of the grant
    the caller publishes    the result or the copy for a repeat; RabbitMQ confirms it
    the caller settles      `done`: the personal data in the ledger is erased
    the caller acks         only now may RabbitMQ forget the message

A worker that dies between two steps leaves a state from which the next one goes on without a second call. The one
exception is a call under way: nobody can know whether it was carried out, and ``on_unknown`` decides.
"""
