"""The state that decides whether a call may start: the limits of shops and customers, and the ledger of jobs.

``protocol`` says what a store is asked and answers, part by part. ``memory`` serves a single process, ``redis`` any
number of them; ``factory`` chooses. docs/store.md shows side by side what both do by the same name.

**Fencing.** Each grant has an epoch. ``answer``, ``retry``, ``release`` and ``settle`` name it, and change nothing once
another grant has replaced it: a worker that froze past its lease publishes nothing. A missing record is accepted by
``answer`` and ``retry``. The store has lost its data then, and a call that was made must not lose its result.

**Asked twice.** Whatever is sent again finds the state that the first time left: ``release`` and ``settle`` then do
nothing, and ``answer`` and ``retry`` report that the epoch is over. The caller gives its copy back, and the next copy
gets the recorded result.

**Copies.** Several messages can carry one job id, and the first to arrive does not decide for the others. A copy that
is to be called is called although another one ended as expired or cancelled before. An expired copy ends nothing that
a copy with a later deadline has begun. docs/messages.md has the table.

**Clocks.** Instants are microseconds of the caller's steady clock. A shared store decides by its server's clock, and
its client converts each instant on the way, so that processes need no common time. A clock that steps back makes
limits stricter, never looser.
"""
