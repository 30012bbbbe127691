"""The metrics: all there are (:mod:`.series`), what a process counts (:mod:`.process`), the labels (:mod:`.labels`).

``prometheus_client`` decides on import whether values live in this process or in files that several share. So a process
that is one of many sets ``PROMETHEUS_MULTIPROC_DIR`` before it imports any module of this package.
"""
