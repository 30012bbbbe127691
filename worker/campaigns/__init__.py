"""Campaign exports on their way to jobs: read, understood, cleaned of duplicates, and put in a good order."""

from worker.campaigns.columns import parse_mapping
from worker.campaigns.consent import parse_consent
from worker.campaigns.dedup import SeenJobs
from worker.campaigns.importer import Importer
from worker.campaigns.interleave import spread
from worker.campaigns.options import ImportOptions

__all__ = ["ImportOptions", "Importer", "SeenJobs", "parse_consent", "parse_mapping", "spread"]
