"""What a process shows of itself: logs, metrics, and the endpoint they are scraped from."""
