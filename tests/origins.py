"""Who gives the orders of the tests."""

from worker.model.orders import Origin

KIM = Origin("kim@desk")
