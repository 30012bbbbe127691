"""Campaign exports on their way to jobs: read, validated, deduplicated, interleaved."""
