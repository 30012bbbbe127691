"""What the commands of ``scripts/`` run, one package a command.

| command | package |
|---|---|
| ``scripts/bench`` | ``benchmarks``; ``scripts/bench fuzz``: ``fuzzing`` |
| ``scripts/dashboards`` | ``dashboards`` |
| ``scripts/docs`` | ``documents.from_code`` with ``.commands`` and ``.metrics``, ``documents.manifests`` |
| ``scripts/faults`` | ``documents.reliability``, for ``--list`` and ``--report``; the rows are in tests/faults |
| ``scripts/mutants`` | ``mutation`` |
| ``scripts/{chromium,postgresql,prometheus,rabbitmq}`` | ``unstarted``, a shell script |
| ``scripts/sbom`` | ``supply`` |
| ``scripts/simulate`` | ``documents.scaling`` |

``scripts/drill`` and ``scripts/services`` run tests.monitoring.drill and tests.services, which tests use too.
"""
