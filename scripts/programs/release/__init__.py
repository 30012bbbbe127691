"""A release: what is put into dist/ for a commit, and which commits may become one."""
