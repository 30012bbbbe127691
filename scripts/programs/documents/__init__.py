"""Documents that are made: from the code, from other files, and from what the fault suite and the simulator print."""
