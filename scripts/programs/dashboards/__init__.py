"""The dashboards as code: scripts/dashboards writes each as JSON into monitoring/dashboards."""
